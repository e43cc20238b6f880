"""Pictures and sound in and out. The only code that opens or writes a media file; everything goes through PyAV."""
