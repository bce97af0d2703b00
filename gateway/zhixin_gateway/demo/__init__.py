"""The main job on real records, from nothing: four members, five sources, and refusals."""
