"""Files, disks, packages, the model hub and servers: what every room may use and no room owns."""
