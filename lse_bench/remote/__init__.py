"""Files that lie elsewhere: addresses of object stores and servers, and a bounded local cache."""
