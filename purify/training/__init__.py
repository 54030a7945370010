"""A labelled set in, a checkpoint out: the recipe, the loop, resume, and the check against collapse."""
