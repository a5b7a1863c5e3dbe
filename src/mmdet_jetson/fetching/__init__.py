"""Getting files from elsewhere: mirrors, downloads, digests, archives."""
