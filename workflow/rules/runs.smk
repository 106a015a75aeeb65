rule train:
    input:
        unpack(images_of_run),
        text_tower="results/backbones/{backbone}/text_tower.safetensors",
    output:
        learned="results/runs/{backbone}/{dataset}/{subset}/{variant}/shots{shots}/seeds{seeds}/learned.safetensors",
        history="results/runs/{backbone}/{dataset}/{subset}/{variant}/shots{shots}/seeds{seeds}/history.csv",
        cost="results/runs/{backbone}/{dataset}/{subset}/{variant}/shots{shots}/seeds{seeds}/cost.json",
    log:
        "results/logs/train/{backbone}/{dataset}/{subset}/{variant}/shots{shots}/seeds{seeds}.log",
    benchmark:
        "results/benchmarks/train/{backbone}/{dataset}/{subset}/{variant}/shots{shots}_seeds{seeds}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        settings=run_settings,
        template=lambda wildcards: template_of(wildcards.dataset),
        images=lambda wildcards, input: image_options(input, dataset_root(wildcards)),
        folder=lambda wildcards, output: str(Path(output.learned).parent),
    message:
        "train {wildcards.variant} on {wildcards.dataset}/{wildcards.subset}, {wildcards.shots} shots, seeds {wildcards.seeds}"
    shell:
        "python -m cocoop train --settings {params.settings:q} --text-tower {input.text_tower:q} {params.images}"
        " --template {params.template:q} --out {params.folder:q} > {log:q} 2>&1"


rule evaluate:
    input:
        unpack(learned_of_run),
        unpack(images_of_test),
        text_tower="results/backbones/{backbone}/text_tower.safetensors",
        manifest="results/datasets/{target}/manifest.json",
    output:
        metrics="results/runs/{backbone}/{dataset}/{subset}/{variant}/shots{shots}/seeds{seeds}/tests/{target}/{subsets}/metrics.json",
        predictions="results/runs/{backbone}/{dataset}/{subset}/{variant}/shots{shots}/seeds{seeds}/tests/{target}/{subsets}/predictions.safetensors",
        cost="results/runs/{backbone}/{dataset}/{subset}/{variant}/shots{shots}/seeds{seeds}/tests/{target}/{subsets}/cost.json",
    log:
        "results/logs/evaluate/{backbone}/{dataset}/{subset}/{variant}/shots{shots}/seeds{seeds}/tests/{target}/{subsets}.log",
    benchmark:
        "results/benchmarks/evaluate/{backbone}/{dataset}/{subset}/{variant}/shots{shots}_seeds{seeds}/{target}_{subsets}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        settings=run_settings,
        template=lambda wildcards: template_of(wildcards.target),
        learned=lambda wildcards, input: (
            f"--learned {shlex.quote(input.learned)}" if input.get("learned") else ""
        ),
        images=lambda wildcards, input: image_options(input, target_root(wildcards)),
        folder=lambda wildcards, output: str(Path(output.metrics).parent),
    message:
        "test {wildcards.variant} of {wildcards.dataset}/{wildcards.subset} on {wildcards.target}/{wildcards.subsets}, seeds {wildcards.seeds}"
    shell:
        "python -m cocoop evaluate --settings {params.settings:q} --target {wildcards.target} --subsets {wildcards.subsets}"
        " --template {params.template:q} --text-tower {input.text_tower:q} {params.images} {params.learned}"
        " --out {params.folder:q} > {log:q} 2>&1"
