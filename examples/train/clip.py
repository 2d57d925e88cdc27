"""Train the small CLIP that ships with proxyspex_hf, or measure it again.

    apt install fonts-noto-color-emoji; pip install torch transformers pillow
    python examples/train/clip.py --out DIR          # train, measure, write DIR
    python examples/train/clip.py --evaluate DIR     # measure it again

Pictures are composed of one to three icons (``scenes.py``) while it trains; captions name them and
say how one lies to another. Each picture is shown twice, lightly and heavily blackened by patches,
each caption three times: lightly and heavily masked by words, and made false. The loss is SigLIP's
over all pictures and captions of a batch, with labels between 0 and 1: how much of what a caption
could say is told and seen. So what is masked more scores less, and nothing is near a match. A
thousand steps take about ten minutes of one core, and a run goes on from another by ``--begin``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from clip_batches import PATCH, batch
from clip_card import write_card
from clip_measure import measure
from icons import ICONS, NAMES, phrase_of
from scenes import EDGE, RELATIONS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

SPECIALS = ("[PAD]", "[UNK]", "[MASK]", "[BOS]", "[EOS]")
OTHER_WORDS = (
    *("a", "an", "and", "left", "right", "of", "above", "below"),
    *("this", "is", "photo", "picture", "there", "."),
)
#: A matching pair's logit is below this, and one that has nothing in common is near 0.
SCALE = 20.0


def new_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the captions."""
    words = sorted({*OTHER_WORDS, *(w for name in NAMES for w in phrase_of(name).split())})
    vocabulary = {w: i for i, w in enumerate((*SPECIALS, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[BOS] $A [EOS]", special_tokens=[("[BOS]", 3), ("[EOS]", 4)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        bos_token="[BOS]",
        eos_token="[EOS]",
        model_max_length=24,
        model_input_names=["input_ids", "attention_mask"],
    )


def new_model(tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    """One million weights, two thirds of them the picture's."""
    tower = {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 4}
    model = CLIPModel(
        CLIPConfig(
            vision_config={
                **tower,
                "num_hidden_layers": 3,
                "image_size": EDGE,
                "patch_size": PATCH,
            },
            text_config={
                **tower,
                "num_hidden_layers": 2,
                "vocab_size": len(tokenizer),
                "max_position_embeddings": 24,
                "pad_token_id": 0,
                "bos_token_id": 3,
                "eos_token_id": 4,
            },
            projection_dim=192,
            logit_scale_init_value=math.log(SCALE),
        )
    )
    model.logit_scale.requires_grad = False
    # As large as what a patch shows: at CLIP's own 0.02, a thousand steps taught no "left of".
    torch.nn.init.normal_(model.vision_model.embeddings.position_embedding.weight, std=0.25)
    return model


def naming_loss(embeddings: torch.Tensor, names: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
    """How badly embeddings (b, d) tell by themselves which icons are in them, and where.

    ``facts`` (5 * icons, d) are the directions that stand for it, ``names`` (b, 5 * icons) which of
    them hold.
    """
    unit = torch.nn.functional.normalize
    scores = SCALE * unit(embeddings, dim=1) @ unit(facts, dim=1).T
    loss = torch.zeros(())
    for part in (slice(0, len(ICONS)), slice(len(ICONS), len(facts))):
        share = names[:, part] / names[:, part].sum(1, keepdim=True).clamp(min=1)
        right = (share * scores[:, part].log_softmax(1)).sum()
        loss = loss - right / share.sum().clamp(min=1)
    return loss


@torch.no_grad()
def first_facts(model: CLIPModel, tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """Directions (5 * icons, d) to begin with: of each icon its name's, and four beside it."""
    names = [phrase_of(name) for name in NAMES]
    inputs = tokenizer(names, padding=True, return_tensors="pt")
    icons = torch.nn.functional.normalize(model.get_text_features(**inputs).pooler_output, dim=1)
    beside = torch.randn(len(RELATIONS), *icons.shape) / icons.shape[1] ** 0.5
    return torch.cat([icons[None], icons + 0.6 * beside]).flatten(0, 1)


def train(args: argparse.Namespace) -> dict[str, float]:
    """Trains and writes the model; what it took, and the bias at the end."""
    start, own = time.monotonic(), time.process_time()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    tokenizer = new_tokenizer()
    model = new_model(tokenizer).train()
    if args.begin:
        model.load_state_dict(CLIPModel.from_pretrained(args.begin).state_dict())
    bias = torch.nn.Parameter(torch.tensor(-0.3 * SCALE if args.begin else -0.25 * SCALE))
    # Names that were not learnt yet are all alike; random directions tell icons apart.
    count, width = (1 + len(RELATIONS)) * len(ICONS), model.config.projection_dim
    begun = first_facts(model, tokenizer) if args.begin else torch.randn(count, width)
    facts = torch.nn.Parameter(begun)
    weights = [*(w for w in model.parameters() if w.requires_grad), facts]
    optimizer = torch.optim.AdamW(
        [
            {"params": weights, "lr": args.rate},
            {"params": [bias], "lr": 5 * args.rate, "weight_decay": 0.0},
        ],
        weight_decay=0.02,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / 50) * (1 + math.cos(math.pi * step / args.steps)) / 2,
    )
    total, told = 0.0, []
    for step in range(1, args.steps + 1):
        given = batch(rng, args.batch, whole=step <= args.whole)
        inputs = tokenizer(given.texts, padding=True, return_tensors="pt")
        made = model(pixel_values=given.pixels, **inputs)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            made.logits_per_image + bias, given.labels, reduction="sum"
        ) / len(given.labels)
        total += loss.item()
        patches = model.vision_model.post_layernorm(made.vision_model_output[0][:, 1:])
        for embeddings, names in (
            (made.image_embeds, given.shown),
            (model.visual_projection(patches).flatten(0, 1), given.patches.flatten(0, 1)),
            (made.text_embeds, given.named),
        ):
            naming = naming_loss(embeddings, names, facts)
            told.append(naming.item())
            loss = loss + (1 - step / args.steps) * naming
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if step % args.every == 0:
            minutes = (time.monotonic() - start) / 60
            print(
                f"step {step}: loss {total / args.every:.3f}, bias {bias.item():.2f}, "
                f"naming {np.reshape(told, (-1, 3)).mean(0).round(2)}, "
                f"{minutes:.1f} minutes",
                flush=True,
            )
            total, told = 0.0, []
            save(args.out, model, tokenizer)
            if step % (args.every * 5) == 0:
                print(json.dumps(measure(args.out, pictures=200)), flush=True)
    save(args.out, model, tokenizer)
    return {
        "minutes": (time.monotonic() - start) / 60,
        "cpu_minutes": (time.process_time() - own) / 60,
        "bias": bias.item(),
        "scale": SCALE,
    }


def save(folder: Path, model: CLIPModel, tokenizer: PreTrainedTokenizerFast) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": EDGE},
        crop_size={"height": EDGE, "width": EDGE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    ).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--out", type=Path)
    group.add_argument("--evaluate", type=Path)
    parser.add_argument("--begin", type=Path, help="a model of this script to train on")
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--whole", type=int, default=400, help="the first steps, without masks")
    parser.add_argument("--batch", type=int, default=56, help="pictures")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--every", type=int, default=100, help="steps between two reports")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", default="", help="what the card says of the run beside that")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.evaluate:
        print(json.dumps(measure(args.evaluate), indent=2))
        return
    run = train(args)
    found = measure(args.out)
    print(json.dumps(found, indent=2))
    write_card(args, found, run)


if __name__ == "__main__":
    main()
