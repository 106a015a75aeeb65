rule download:
    output:
        stamp=stages.DOWNLOAD.outputs["stamp"].replace("{data_root}", DATA),
    log:
        stages.DOWNLOAD.log,
    priority: priority_of(stages.DOWNLOAD)
    localrule: True
    conda:
        "../../environment.yml"
    params:
        command=command_of(stages.DOWNLOAD),
    message:
        "download {wildcards.dataset}"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"


rule manifest:
    input:
        unpack(inputs_of(stages.MANIFEST)),
    output:
        **stages.MANIFEST.outputs,
    log:
        stages.MANIFEST.log,
    priority: priority_of(stages.MANIFEST)
    localrule: True
    conda:
        "../../environment.yml"
    params:
        command=command_of(stages.MANIFEST),
    message:
        "list and check {wildcards.dataset}"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"


rule fewshot:
    input:
        unpack(inputs_of(stages.FEWSHOT)),
    output:
        **stages.FEWSHOT.outputs,
    log:
        stages.FEWSHOT.log,
    priority: priority_of(stages.FEWSHOT)
    localrule: True
    conda:
        "../../environment.yml"
    params:
        command=command_of(stages.FEWSHOT),
    message:
        "draw {wildcards.shots} shots of {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"
