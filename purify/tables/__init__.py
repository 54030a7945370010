"""Tables between the stages: schemas, manifests, users' tables, decisions, reviews, differences, pairs."""
