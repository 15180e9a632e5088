"""Files, disks, packages, the model hub and servers: what every part of the package may use."""
