"""Recipes of base images, one TOML file each; :mod:`uaitrain.bases.recipe` reads them."""
