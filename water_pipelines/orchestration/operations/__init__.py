"""What runs do that is not an asset: landing, loading, ticking, reporting. Plain functions over the platform; jobs call them."""
