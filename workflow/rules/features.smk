rule text_tower:
    output:
        "results/backbones/{backbone}/text_tower.safetensors",
    log:
        "results/logs/text_tower/{backbone}.log",
    conda:
        "../../environment.yml"
    params:
        settings=canonical_json(PLAN.backbone.settings),
    message:
        "text tower of {wildcards.backbone}"
    shell:
        "python -m cocoop text-tower --settings {params.settings:q} --out {output:q} > {log:q} 2>&1"


rule features:
    input:
        weights="results/backbones/{backbone}/text_tower.safetensors",  # fetched once, where there is internet
        manifest="results/datasets/{dataset}/manifest.json",
    output:
        "results/features/{backbone}/{dataset}/test.safetensors",
    log:
        "results/logs/features/{backbone}/{dataset}.log",
    benchmark:
        "results/benchmarks/features/{backbone}/{dataset}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        settings=canonical_json({"backbone": PLAN.backbone.settings}),
        root=dataset_root,
    message:
        "test features of {wildcards.dataset}"
    shell:
        "python -m cocoop features --settings {params.settings:q} --manifest {input.manifest:q} --root {params.root:q}"
        " --workers $(({threads} - 1)) --out {output:q} > {log:q} 2>&1"


rule views:
    input:
        weights="results/backbones/{backbone}/text_tower.safetensors",
        manifest="results/datasets/{dataset}/manifest.json",
        fewshot=selections,
    output:
        "results/views/{backbone}/{dataset}/{subset}/shots{shots}/seeds{seeds}/{views}.safetensors",
    log:
        "results/logs/views/{backbone}/{dataset}/{subset}/shots{shots}_seeds{seeds}_{views}.log",
    benchmark:
        "results/benchmarks/views/{backbone}/{dataset}/{subset}/shots{shots}_seeds{seeds}_{views}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        settings=view_settings,
        root=dataset_root,
    message:
        "{wildcards.views} of {wildcards.dataset}/{wildcards.subset}, {wildcards.shots} shots, seeds {wildcards.seeds}"
    shell:
        "python -m cocoop views --settings {params.settings:q} --manifest {input.manifest:q} --fewshot {input.fewshot:q}"
        " --root {params.root:q} --workers $(({threads} - 1)) --out {output:q} > {log:q} 2>&1"
