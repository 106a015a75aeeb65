rule train:
    input:
        unpack(inputs_of(stages.TRAIN)),
    output:
        **stages.TRAIN.outputs,
    log:
        stages.TRAIN.log,
    priority: priority_of(stages.TRAIN)
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        command=command_of(stages.TRAIN),
    message:
        "train {wildcards.variant} on {wildcards.dataset}/{wildcards.subset}, {wildcards.shots} shots, seeds {wildcards.seeds} ({wildcards.backbone})"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"


rule evaluate:
    input:
        unpack(inputs_of(stages.EVALUATE)),
    output:
        **stages.EVALUATE.outputs,
    log:
        stages.EVALUATE.log,
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        command=command_of(stages.EVALUATE),
    message:
        "evaluate {wildcards.variant} of {wildcards.dataset}/{wildcards.subset} on {wildcards.target}/{wildcards.subsets} ({wildcards.backbone})"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"
