"""Files on this machine and in storage: finding, checking, uploading and downloading them."""
