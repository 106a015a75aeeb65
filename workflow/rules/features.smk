rule text_tower:
    input:
        unpack(inputs_of(stages.TEXT_TOWER)),
    output:
        **stages.TEXT_TOWER.outputs,
    log:
        stages.TEXT_TOWER.log,
    priority: priority_of(stages.TEXT_TOWER)
    localrule: True
    conda:
        "../../environment.yml"
    params:
        command=command_of(stages.TEXT_TOWER),
    message:
        "text encoder of {wildcards.backbone}"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"


rule features:
    input:
        unpack(inputs_of(stages.FEATURES)),
    output:
        **stages.FEATURES.outputs,
    log:
        stages.FEATURES.log,
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        command=command_of(stages.FEATURES),
    message:
        "test features of {wildcards.dataset} ({wildcards.backbone})"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"


rule views:
    input:
        unpack(inputs_of(stages.VIEWS)),
    output:
        **stages.VIEWS.outputs,
    log:
        stages.VIEWS.log,
    priority: priority_of(stages.VIEWS)
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        command=command_of(stages.VIEWS),
    message:
        "{wildcards.views} of {wildcards.dataset}/{wildcards.subset}, {wildcards.shots} shots, seeds {wildcards.seeds} ({wildcards.backbone})"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"
