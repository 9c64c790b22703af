"""One file a kind of source file: a seekable stream and a mapping in, Arrow batches or reasoned rejections out. Pure."""
