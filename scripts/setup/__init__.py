"""Set-up of a checkout and of the shared engine: standard library only, because nothing is installed yet.

Nothing here is imported by the product, and nothing here names a package index or a mirror: pip's, uv's and npm's own
configuration decide where packages come from.
"""
