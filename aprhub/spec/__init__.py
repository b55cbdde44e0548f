"""What plugins provide: formats, namings, families and codecs, as plain values."""
