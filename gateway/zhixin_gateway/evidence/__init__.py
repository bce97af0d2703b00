"""Evidence bundles (docs/formats.md 10): what is left to check when Zhixin is gone.

`making` puts a bundle together and renews it, `archive` writes it as a zip that is the same bytes
for the same evidence. `verify` is the one file that goes along and checks it: it imports nothing of
ours, so that it is a second opinion here and the only one needed there.
"""
