"""The names of the measures beside accuracy (docs/measures.md)."""

OF_COUNTS = ("mean_class_accuracy", "macro_f1")  # from the counts of a record
OF_CLASSES = ("top_5", "ece", "ece_10", "adaptive_ece", "mce", "nll", "brier", "aurc")  # among the classes of a subset
JOINT, OVERALL = "joint_accuracy", "overall_accuracy"  # among all classes: of the images of a half, and of all images
PAIRWISE = ("auroc", "auroc_energy", "openworld_auc")  # of pairs of a base and a new image
OF_BOTH = (JOINT, OVERALL, *PAIRWISE)  # each image is also classified among the classes of the other half
COLUMNS = (*OF_CLASSES, *OF_BOTH)  # of records.csv
ASKED = (*OF_COUNTS, *OF_CLASSES, JOINT, *PAIRWISE)  # names under `measures` of an experiment
