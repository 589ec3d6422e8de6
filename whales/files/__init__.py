"""The work root and what its files hold: tables, boxes, folds, matrices, answers, decisions."""
