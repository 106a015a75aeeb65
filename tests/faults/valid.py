"""Mutations of config files that are rightly another valid file: reviewed key by key. Everything else must be refused."""

import re
from collections.abc import Sequence

TEXT = r"['\"].*"  # any text, as its repr
WORDS = r"missing|" + TEXT
NUMBER = r"-?\d+(\.\d+)?"
LIMITS = "minimum|exclusiveMinimum|maximum|minLength|minItems|maxItems"
NUMBERS = (  # parameters of methods that are numbers
    r"C|alpha|alphas\.#|alpha_scale|beta|border|cache_views|depth|dim|dropout|end|epochs|epsilon|gpa_(mean|std)|inject_before_block|"
    r"iterations|layers\.#|loss_(lambda|t)|n_(ctx|prompts|tokens)|rank|reduction|rounds|scale|search_(steps|(scale|step)\.#)|share|"
    r"start|teacher_templates|threshold|vision_(depth|n_ctx)|(\w+_)?(ratio|weight)"
)
FETCHED, READER = r"(download\.#|mirror)", "(fallback_)?reader"
FILES = "file|images|train|val|test|annotations|labels|names_file|lists|meta"
OPTIONS = "ignore|classnames|rename|sha256|content_sha256|seed|split|folders|names|columns"
# kind: (key, mutation, why it is right). A key's places in lists stand as #; both are regular expressions of the whole.
RULES: dict[str, list[tuple[str, str, str]]] = {
    "config": [
        ("data_root", TEXT, "any folder"),
        (r"seeds\.#", "0|7|1000000000", "any seed"),
        ("seeds_per_job|views", "7", "any such number"),
        ("precision", "missing|None", "that of the backbone's file"),
        ("jobs_per_gpu|tensorboard", "missing", "optional"),
        ("image_states_mb", "0", "no states are kept"),
        ("variants", "missing", "optional: nothing to change"),
        (r"variants\.\w+", "missing|{}", "optional: nothing to change"),
        (r"variants\.\w+\.(training|params|per_shots)(\.\w+(\.steps)?)?", r"missing|\{\}", "optional: the method's own"),
        (rf"variants\.\w+\.params\.({NUMBERS})", f"{NUMBER}|0", "any such number"),
        (r"variants\.\w+\.(training|per_shots\.\w+)\.(epochs|steps)", "7", "any such number"),
        (r"variants\.\w+\.(training|per_shots\.\w+)\.steps", "None", "as many as the epochs have"),
        (r"experiments\.#(\.\w+)?", "missing|None|{}", "one experiment less, or as its file has it"),
        (r"experiments\.#\.\w+\.(variants|train_datasets|targets|shots|measures)", "missing", "as the experiment's file has it"),
        (r"experiments\.#\.\w+\.measures", r"\[\]", "no measures beside accuracy"),
        (r"experiments\.#\.\w+\.targets", r"\[\]", "empty: tested on the dataset trained on"),
        (r"experiments\.#\.\w+\.shots\.#", "7", "any number of shots"),
    ],
    "backbones": [
        ("label", TEXT, "any name in one line"),
        ("pretrained", "None", "random weights, for measuring speed"),
        ("pretrained", "'OPENAI'", "open_clip takes tags in capitals"),
        ("precision", "missing", "fp32"),
        (r"imagenet_zero_shot(\.source)?", "missing|" + TEXT, "optional; any source"),
        (r"imagenet_zero_shot\.accuracy", "7|0", "any number of per cent"),
    ],
    "experiments": [
        ("title|caption", TEXT, "any text"),
        ("paper", "missing|None", "no published numbers next to ours"),
        ("reference", "missing|None", "no distances"),
        ("measures|paper_measures", r"missing|\[\]", "no measures beside accuracy, or no published ones"),
        ("targets", r"\[\]", "empty: tested on the dataset trained on"),
        (r"shots\.#", "7", "any number of shots"),
    ],
    "paper": [
        (r"title|setting|sources\.#|rows\.\w+\.(source|selected_on_test\.what)", TEXT, "any text"),
        (r"rows\.\w+\.(variant|backbone)", "'no_such_name'", "variants and backbones need not be in the registry"),
        (r"rows\.\w+\.(backbone|shots|verified|selected_on_test|selected_on_test\.datasets)", "missing", "optional"),
        (r"rows\.\w+\.shots", "0|7", "any number of shots"),
        (r"rows\.\w+\.selected_on_test\.datasets\.#", "'no_such_name'", "datasets need not be in the registry"),
        ("measure", "missing", "accuracy"),
        (r"shots\.#", "0|7", "any number of shots"),
        (r"values\.\w+\.\w+\.(base|new|all|h)\.#", "None|0|7", "no number there, or any number of per cent"),
        (r"average_over\.#", "'no_such_name'", "datasets of a paper need not be in the registry"),
        ("average_over", r"\[\]", "no printed average"),
        ("shots", "7", "any number of shots"),
        (r"values\.\w+(\.\w+)?", "missing|wrong name", "datasets and variants of a paper need not be in the registry"),
        (r"values\.\w+\.\w+\.(base|new|all|h)", "missing|0|7", "a cell less, or any number of per cent"),
        (r"values\.\w+\.\w+\.std(\.\w+)?", "missing|0|7", "no published spread, or any"),
        (r"values\.\w+\.\w+\.parameters", "missing|7|1000000000", "a cell less, or any count"),
        (r"values\.\w+\.\w+\.verified", "missing", "as the whole table"),
    ],
    "publications": [
        (r"\w+\.(title|uses)", TEXT, "any text"),
        (r"\w+\.venue", "None|" + TEXT, "any text, or not known"),
        (r"\w+\.uses", "missing", "nothing but images and class names"),
        (r"\w+\.year", "None|7", "any year, or not known"),
        (r"\w+", "missing|wrong name", "any method, of which there need not be numbers"),
    ],
    "methods": [
        (r"reference|variants\.\w+\.label|params\.\w+\.description", TEXT, "any text"),
        ("prompts|views|class_bound", "missing", "optional, with a default"),
        ("class_bound", "True", "bound to its classes, whatever its parameters"),
        (r"(.*\.)?steps", "None", "as many as the epochs have"),
        (r"selections?(\.#)?", r"missing|'(none|val|hold_one_out)'", "another way to choose that the method supports, or one less"),
        ("inputs", "missing", "features; a class that takes images says so in the first job"),
        (r"needs(\.#)?", "missing", "nothing more; a class that uses its template or the like says so in the first job"),
        (r"(variants\.\w+\.)?prompts_from", "missing", "other prompts, or none; a class that uses them says so in the first job"),
        (r"prompts_from\.\w+", "missing|wrong name", "as `default`; a dataset of another registry"),
        (r"prompts_from\.\w+\.#", TEXT, "any text with one place"),
        ("version", "7|1000000", "any count"),
        (rf"params\.\w+(\.items)?\.({LIMITS}|items|type|enum|one_word_each|description)", "missing", "a laxer limit"),
        (rf"params\.\w+(\.items)?\.({LIMITS})", NUMBER, "another limit"),
        (r"params\.\w+\.items", r"True|\{\}", "no limit"),
        (r"params\.\w+(\.items)?\.enum\.#", r".*", "another choice"),
        (r"params\.\w+", r"\{\}", "no limit"),
        (r"defaults\.ctx_init", "None|" + TEXT, "random initial words, or other ones, as many as n_ctx says where that matters"),
        (r"defaults\.(template|student_templates\.\w+)", TEXT, "any text with one place"),
        (r"defaults\.student_templates(\.\w+)?", r"missing|wrong name|\{\}", "the dataset's own"),
        (r"defaults\.global_logits(\.#)?", r"\[\]|" + TEXT, "datasets of another registry, or none"),
        (rf"defaults\.({NUMBERS})", f"{NUMBER}|0", "any such number"),
        ("image_layer_from", "missing", "no states of the image tower are cached"),
        (r"(variants\.\w+\.)?per_dataset\.\w+\.params(\.\w+)?", r"missing|\{\}", "as `defaults` has it"),
        (rf"(variants\.\w+\.)?(per_dataset\.\w+\.)?params\.({NUMBERS})", f"{NUMBER}|0", "any such number"),
        (r"variants\.\w+\.training(\.\w+)?", r"missing|\{\}", "as for all variants"),
        (r"(variants\.\w+\.)?training\.\w+", "7|2.5|0", "any such number"),
        (r"training\.(epochs|batch_size)|(.*\.)?per_(dataset|shots)\.\w+\.epochs", "7", "any such number"),
        (r"training\.(lr|warmup_lr|weight_decay|warmup_epochs)", "7|2.5|0", "any such number"),
        (r"training\.momentum", "0", "any number below 1"),
        (r"(variants\.\w+\.)?per_(dataset|shots)(\.\w+(\.epochs)?)?", r"missing|\{\}", "optional: training as always"),
        (r"(variants\.\w+\.)?per_dataset\.\w+", "wrong name", "a dataset of another registry"),
        (r"training\.(optimizer|schedule|drop_last|eps)|variants\.\w+\.selection", "missing", "as by default"),
        (r"per_dataset\.\w+\.lr", "missing|7|2.5", "any such number"),
        (r"variants\.\w+", "missing|wrong name", "another name, or one variant less, where nothing names it"),
        (r"variants\.\w+\.params(\.\w+)?", r"missing|\{\}", "as `defaults` has it"),
        (r"variants\.\w+\.params\.n_ctx", "7", "any number of vectors"),
    ],
    # Whether files, addresses and checksums are the right ones is known where the data are: the download or the manifest says so.
    "datasets": [
        (r"title|licence\.terms|notes\.#|manual", TEXT, "any text"),
        (r"template|ensemble\.#", TEXT, "any text with one place"),
        ("ensemble", WORDS, "the general one, or a file that is read where a variant takes it"),
        (r"licence(\.login)?|notes|manual|skip_unreadable|test_only|folder", "missing", "optional"),
        ("miniature|download|mirror|fallback_reader|about", "missing", "optional"),
        (r"about\.test", "7|1000000000", "any count, for estimates"),
        ("notes|download", r"\[\]", "optional"),
        ("sizes", r"\{\}", "not checked then"),
        (r"classes|sizes|sizes\.\w+|class_list_sha256", "missing", "not checked then"),
        (r"sizes\.\w+", "None|0|7", "any count, checked by the manifest"),
        ("classes", "7", "any count, checked by the manifest"),
        ("folder", TEXT, "any folder below the data root"),
        (r"miniature\.name", TEXT, "the drawing job knows the names and lists them"),
        (r"miniature\.seed", "missing|0|7|1000000000", "any seed"),
        (rf"{FETCHED}\.(sha256|md5|bytes|optional|fallback|extract)", "missing", "not checked, needed, kept as it is"),
        (rf"{FETCHED}\.bytes", "7|1000000000", "any size, checked by the download"),
        (rf"{FETCHED}\.extract", r"\{\}", "unpacked as it is"),
        (rf"{FETCHED}\.(file|sources\.#|gives\.#)", TEXT, "any file, checked by the download"),
        (rf"{FETCHED}\.gives", "missing", "known to be there once it was fetched"),
        (rf"{FETCHED}\.extract\.(strip|into|inner|inner\.#)", WORDS + r"|\[\]", "any folder in an archive"),
        (rf"{READER}\.({FILES})", WORDS, "any file, checked by the manifest"),
        (rf"{READER}\.({OPTIONS})", r"missing|\[\]|\{\}", "optional"),
        (rf"{READER}\.(ignore|classnames|names)\.#", TEXT, "any name, checked by the manifest"),
        (rf"{READER}\.(rename|sha256)\..*", "missing|wrong name|stranger|" + TEXT, "names, checked by the manifest"),
        (rf"transparency|{READER}\.split\.duplicates", "missing", "as in the authors' code; copies are not kept together"),
        (rf"{READER}\.(split\.)?seed", "missing|0|7|1000000000", "any seed"),
        (rf"{READER}\.split\.val", "0", "no validation images"),
    ],
}  # fmt: skip
RULES["overlay"] = [*RULES["config"], (r"\w+", "missing", "as config.yaml has it")]


def rightly(kind: str, place: Sequence[object], how: str) -> bool:
    """Whether a mutation of a key gives another valid file."""
    key = ".".join("#" if isinstance(part, int) else str(part) for part in place)
    return any(
        re.fullmatch(keys, key, re.DOTALL) and re.fullmatch(hows, how, re.DOTALL) for keys, hows, _ in RULES[kind]
    )
