"""Read and write pictures and sound. Only this package opens or writes media files.

PyAV does the decoding and the encoding, except where a published pipeline needs OpenCV or the ffmpeg program.
"""
