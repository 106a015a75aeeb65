"""What a plan costs before it runs: jobs, image and text passes, disk, hours. Free of torch."""
