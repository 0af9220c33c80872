"""Certificates: every edge of a trained model measured, named, looked through, measured again."""
