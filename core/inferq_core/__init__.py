"""What every part of inferq agrees on: states, messages, errors, settings, the signature, the store."""
