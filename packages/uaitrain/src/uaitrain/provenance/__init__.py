"""What a pushed image says about where it comes from: SBOM, provenance statement, signatures."""
