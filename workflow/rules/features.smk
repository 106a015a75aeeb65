rule text_tower:
    output:
        "results/backbones/{backbone}/text_tower.safetensors",
    params:
        settings=canonical_json(PLAN.backbone.settings),
    log:
        "results/logs/text_tower/{backbone}.log",
    resources:
        mem_mb=retried_mb(8000),
        runtime=retried_minutes(30),
    retries: 2
    conda:
        "../../environment.yml"
    shell:
        "python -m cocoop text-tower --settings {params.settings:q} --out {output:q} > {log:q} 2>&1"


rule features:
    input:
        manifest="results/datasets/{dataset}/manifest.json",
    output:
        "results/features/{backbone}/{dataset}/test.safetensors",
    params:
        settings=canonical_json({"backbone": PLAN.backbone.settings}),
        root=dataset_root,
    log:
        "results/logs/features/{backbone}/{dataset}.log",
    benchmark:
        "results/benchmarks/features/{backbone}/{dataset}.jsonl"
    resources:
        mem_mb=retried_mb(16000),
        runtime=retried_minutes(120),
        gpu=1,
    retries: 2
    conda:
        "../../environment.yml"
    shell:
        "python -m cocoop features --settings {params.settings:q} --manifest {input.manifest:q} --root {params.root:q}"
        " --workers $(({threads} - 1)) --out {output:q} > {log:q} 2>&1"


rule views:
    input:
        manifest="results/datasets/{dataset}/manifest.json",
        fewshot=selections,
    output:
        "results/views/{backbone}/{dataset}/{subset}/shots{shots}/seeds{seeds}/views{start}-{stop}.safetensors",
    params:
        settings=view_settings,
        root=dataset_root,
    log:
        "results/logs/views/{backbone}/{dataset}/{subset}/shots{shots}_seeds{seeds}_views{start}-{stop}.log",
    benchmark:
        "results/benchmarks/views/{backbone}/{dataset}/{subset}/shots{shots}_seeds{seeds}_views{start}-{stop}.jsonl"
    resources:
        mem_mb=retried_mb(16000),
        runtime=retried_minutes(120),
        gpu=1,
    retries: 2
    conda:
        "../../environment.yml"
    shell:
        "python -m cocoop views --settings {params.settings:q} --manifest {input.manifest:q} --fewshot {input.fewshot:q}"
        " --root {params.root:q} --workers $(({threads} - 1)) --out {output:q} > {log:q} 2>&1"
