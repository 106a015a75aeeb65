rule configuration:
    output:
        **stages.CONFIGURATION.outputs,
    log:
        stages.CONFIGURATION.log,
    localrule: True
    conda:
        "../../environment.yml"
    params:
        command=command_of(stages.CONFIGURATION),
    message:
        "configuration"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"


rule experiment:
    output:
        **stages.CONTENT.outputs,
    log:
        stages.CONTENT.log,
    localrule: True
    conda:
        "../../environment.yml"
    params:
        command=command_of(stages.CONTENT),
    message:
        "experiment {wildcards.experiment}"
    shell:
        "python -m cocoop {params.command:q} > {log:q} 2>&1"


rule collect:
    input:
        unpack(inputs_of(stages.COLLECT)),
        code=sources("reporting/records", *NUMERIC),
    output:
        **stages.COLLECT.outputs,
    log:
        stages.COLLECT.log,
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "collect {wildcards.experiment}"
    shell:
        "printf '%s\\n' {input.metrics:q} | python -m cocoop collect --metrics /dev/stdin"
        " --fewshot {input.fewshot:q} --out {output.records:q} > {log:q} 2>&1"


rule tables:
    input:
        unpack(inputs_of(stages.TABLES)),
        code=sources("reporting/tables"),
    output:
        report(
            directory(stages.TABLES.outputs["tables"]),
            patterns=["{name}.md", "{name}.csv"],
            caption="../report/table.rst",
            category="Tables",
            subcategory="{experiment}",
        ),
    log:
        stages.TABLES.log,
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "tables of {wildcards.experiment}"
    shell:
        "python -m cocoop tables --experiment {input.experiment:q} --records {input.records:q}"
        " --costs <(printf '%s\n' {input.costs:q}) --out {output:q} > {log:q} 2>&1"


rule paired:
    input:
        unpack(inputs_of(stages.PAIRED)),
        code=sources("reporting/records", "reporting/tables"),
    output:
        directory(stages.PAIRED.outputs["paired"]),
    log:
        stages.PAIRED.log,
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "paired comparison of {wildcards.experiment}"
    shell:
        "printf '%s\\n' {input.metrics:q} | python -m cocoop paired --experiment {input.experiment:q}"
        " --metrics /dev/stdin --records {input.records:q} --out {output:q} > {log:q} 2>&1"


rule figures:
    input:
        unpack(inputs_of(stages.FIGURES)),
        code=sources("reporting/figures"),
    output:
        report(
            directory(stages.FIGURES.outputs["figures"]),
            patterns=["{name}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            subcategory="{experiment}",
        ),
    log:
        stages.FIGURES.log,
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "figures of {wildcards.experiment}"
    shell:
        "python -m cocoop figures --experiment {input.experiment:q} --records {input.records:q}"
        " --costs <(printf '%s\\n' {input.costs:q}) --histories <(printf '%s\\n' {input.histories:q})"
        " --metrics <(printf '%s\\n' {input.metrics:q})"
        " --out {output:q} > {log:q} 2>&1"


rule page:
    input:
        unpack(inputs_of(stages.PAGE)),
        code=sources("reporting/page"),
    output:
        report(
            stages.PAGE.outputs["page"],
            caption="../report/page.rst",
            category="Report",
        ),
    log:
        stages.PAGE.log,
    localrule: True
    conda:
        "../../environment.yml"
    params:
        root=DATA,
    message:
        "report"
    shell:
        "python -m cocoop report --results results --experiments {input.experiments:q} --manifests {input.manifests:q}"
        " --metrics <(printf '%s\\n' {input.metrics:q}) --data-root {params.root:q} --out {output:q} > {log:q} 2>&1"
