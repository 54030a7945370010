"""The tables between the stages: schemas, users' tables, decisions, reviews, differences."""
