rule experiment:
    output:
        "results/experiments/{experiment}/experiment.json",
    log:
        "results/logs/experiment/{experiment}.log",
    conda:
        "../../environment.yml"
    params:
        settings=experiment_settings,
    message:
        "experiment {wildcards.experiment}"
    shell:
        "python -m cocoop experiment --settings {params.settings:q} --out {output:q} > {log:q} 2>&1"


rule collect:
    input:
        metrics=metrics_of,
        fewshot=drawn_of,
        code=sources("reporting/records"),
    output:
        records="results/experiments/{experiment}/records.csv",
        seal="results/experiments/{experiment}/records.csv.sha256",
        notes="results/experiments/{experiment}/records.csv.notes.json",
    log:
        "results/logs/collect/{experiment}.log",
    conda:
        "../../environment.yml"
    message:
        "collect {wildcards.experiment}"
    shell:
        "printf '%s\\n' {input.metrics:q} | python -m cocoop collect --metrics /dev/stdin"
        " --fewshot {input.fewshot:q} --out {output.records:q} > {log:q} 2>&1"


rule tables:
    input:
        experiment="results/experiments/{experiment}/experiment.json",
        records="results/experiments/{experiment}/records.csv",
        seal="results/experiments/{experiment}/records.csv.sha256",
        notes="results/experiments/{experiment}/records.csv.notes.json",
        code=sources("reporting/tables"),
    output:
        report(
            directory("results/experiments/{experiment}/tables"),
            patterns=["{name}.md", "{name}.csv"],
            caption="../report/table.rst",
            category="Tables",
            subcategory="{experiment}",
        ),
    log:
        "results/logs/tables/{experiment}.log",
    conda:
        "../../environment.yml"
    message:
        "tables of {wildcards.experiment}"
    shell:
        "python -m cocoop tables --experiment {input.experiment:q} --records {input.records:q} --out {output:q} > {log:q} 2>&1"


rule paired:
    input:
        experiment="results/experiments/{experiment}/experiment.json",
        metrics=metrics_of,
        records="results/experiments/{experiment}/records.csv",
        seal="results/experiments/{experiment}/records.csv.sha256",
        notes="results/experiments/{experiment}/records.csv.notes.json",
        code=sources("reporting/records"),
    output:
        directory("results/experiments/{experiment}/paired"),
    log:
        "results/logs/paired/{experiment}.log",
    conda:
        "../../environment.yml"
    message:
        "paired comparison of {wildcards.experiment}"
    shell:
        "printf '%s\\n' {input.metrics:q} | python -m cocoop paired --experiment {input.experiment:q}"
        " --metrics /dev/stdin --records {input.records:q} --out {output:q} > {log:q} 2>&1"


rule figures:
    input:
        experiment="results/experiments/{experiment}/experiment.json",
        records="results/experiments/{experiment}/records.csv",
        seal="results/experiments/{experiment}/records.csv.sha256",
        notes="results/experiments/{experiment}/records.csv.notes.json",
        learned=learned_of,
        code=sources("reporting/figures"),
    output:
        report(
            directory("results/experiments/{experiment}/figures"),
            patterns=["{name}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            subcategory="{experiment}",
        ),
    log:
        "results/logs/figures/{experiment}.log",
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: [*trained_of(wildcards), *tested_of(wildcards)],
    message:
        "figures of {wildcards.experiment}"
    shell:
        "printf '%s\\n' {params.runs:q} | python -m cocoop figures --experiment {input.experiment:q}"
        " --records {input.records:q} --runs /dev/stdin --out {output:q} > {log:q} 2>&1"


rule page:
    input:
        experiment_outputs(),
        experiments=expand(
            "results/experiments/{experiment}/experiment.json",
            experiment=list(PLAN.experiments),
        ),
        code=sources("reporting/page"),
    output:
        report("results/report.html", caption="../report/page.rst", category="Report"),
    log:
        "results/logs/report.log",
    conda:
        "../../environment.yml"
    params:
        root=DATA,
    message:
        "report"
    shell:
        "python -m cocoop report --results results --experiments {input.experiments:q}"
        " --data-root {params.root:q} --out {output:q} > {log:q} 2>&1"
