"""What is special about each training framework, away from images and machines."""
