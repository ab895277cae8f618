"""What an export starts from: the checkpoint's files, what they declare, and the model that they load as."""
