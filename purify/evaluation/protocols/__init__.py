"""The field's test protocols, as functions of arrays: pairs in folds, templates, galleries with distractors."""
