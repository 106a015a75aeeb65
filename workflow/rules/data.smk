rule download:
    output:
        f"{DATA}/.sources/{{dataset}}.json",
    log:
        "results/logs/download/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        settings=dataset_settings,
        root=lambda wildcards, output: str(Path(output[0]).parent.parent),
        offline="--offline" if config["offline"] else "",
        request=download_request,
    message:
        "get {wildcards.dataset}"
    shell:
        "python -m cocoop download --settings {params.settings:q} --data-root {params.root:q} {params.offline}"
        " {params.request} --out {output:q} > {log:q} 2>&1"


rule manifest:
    input:
        f"{DATA}/.sources/{{dataset}}.json",
    output:
        "results/datasets/{dataset}/manifest.json",
    log:
        "results/logs/manifest/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        settings=dataset_settings,
        root=lambda wildcards, input: str(Path(input[0]).parent.parent),
    message:
        "list and check {wildcards.dataset}"
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
    message:
        "draw {wildcards.shots} shots of {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m cocoop fewshot --manifest {input:q} --shots {wildcards.shots} --seed {wildcards.seed}"
        " --out {output:q} > {log:q} 2>&1"
