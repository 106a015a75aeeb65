rule download:
    output:
        f"{DATA}/.sources/{{dataset}}.json",
    params:
        settings=dataset_settings,
        root=DATA,
        offline="--offline" if config["offline"] else "",
    log:
        "results/logs/download/{dataset}.log",
    retries: 2
    conda:
        "../../environment.yml"
    shell:
        "python -m cocoop download --settings {params.settings:q} --data-root {params.root:q} {params.offline}"
        " --out {output:q} > {log:q} 2>&1"


rule manifest:
    input:
        f"{DATA}/.sources/{{dataset}}.json",
    output:
        "results/datasets/{dataset}/manifest.json",
    params:
        settings=dataset_settings,
        root=DATA,
    log:
        "results/logs/manifest/{dataset}.log",
    conda:
        "../../environment.yml"
    shell:
        "python -m cocoop manifest --settings {params.settings:q} --data-root {params.root:q}"
        " --out {output:q} > {log:q} 2>&1"


rule fewshot:
    input:
        "results/datasets/{dataset}/manifest.json",
    output:
        "results/datasets/{dataset}/fewshot/shots{shots}_seed{seed}.json",
    log:
        "results/logs/fewshot/{dataset}_shots{shots}_seed{seed}.log",
    conda:
        "../../environment.yml"
    shell:
        "python -m cocoop fewshot --manifest {input:q} --shots {wildcards.shots} --seed {wildcards.seed}"
        " --out {output:q} > {log:q} 2>&1"
