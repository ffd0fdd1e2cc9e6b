"""The benchmark builder: a labelled set of pictures of every kind that the rules are about, made from folders of photos."""
