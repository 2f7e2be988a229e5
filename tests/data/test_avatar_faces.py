"""The cartoon faces: drawn as python-avatars does, independent, with exact masks and answers."""

import dataclasses
import io
import itertools

import numpy as np
from PIL import Image
import pytest
import python_avatars
import resvg_py

from maskgan_jax import errors
from maskgan_jax.data.drawn import avatar_faces, avatar_layers, avatar_parts

SIZE = 32
FACES = [avatar_faces.recipe(7, 'test', index) for index in range(200)]


def pictures(face, other):
  return (avatar_faces.render(one, SIZE).astype(np.int32) for one in (face, other))


def faces_with(attribute, present=True):
  return [face for face in FACES if avatar_faces.attributes_of(face)[attribute] == present]


# Faces.


PARTS = [(slot, name) for slot, names in {
    'hair': avatar_parts.HAIRS, 'hat': avatar_parts.HATS, 'glasses': avatar_parts.GLASSES,
    'facial_hair': avatar_parts.FACIAL_HAIRS, 'eyes': avatar_parts.EYES,
    'mouth': avatar_parts.SMILES + avatar_parts.OTHER_MOUTHS, 'nose': avatar_parts.NOSES,
    'eyebrows': avatar_parts.EYEBROWS, 'clothing': avatar_parts.CLOTHES,
}.items() for name in names]


def test_layers_draw_what_python_avatars_draws(monkeypatch):
  # Averaging subpixels layer by layer differs from averaging the whole picture where edges meet.
  monkeypatch.setattr(avatar_layers, '_subpixels', lambda size: 1)
  size, skin, background, color = 57, '#D08B5B', '#80C0E0', '#C93305'  # a size that is in no cache
  left, top, width = avatar_layers._CROP
  for slot, name in PARTS:
    names, argument, color_argument = avatar_layers._SLOTS[slot]
    wear = dict.fromkeys(['eyebrows', 'eyes', 'nose', 'mouth', 'facial_hair', 'accessory',
                          'clothing'])
    wear |= {'top': python_avatars.HairType.NONE, 'skin_color': skin, argument: names[name]}
    if color_argument:
      wear[color_argument] = color
    svg = python_avatars.Avatar(style=python_avatars.AvatarStyle.TRANSPARENT, **wear).render()
    svg = svg.replace('width="264px" height="280px" viewBox="0 0 264 280"',
                      f'width="{size}" height="{size}" viewBox="{left} {top} {width} {width}"')
    with Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg, background=background))) as image:
      expected = np.asarray(image.convert('RGB'), np.int32)
    parts = [avatar_layers.Part('body', '', skin), avatar_layers.Part(slot, name, color)]
    drawn = avatar_layers.draw(parts, background, size)
    assert np.abs(drawn - expected).max() <= 3, (slot, name)  # resvg rounds each layer to bytes


def test_layers_lie_over_each_other_as_in_the_files():
  for slot, name, order in [('hair', 'SHORT_FLAT', ('facial_hair', 'hair', 'glasses')),
                            ('hair', 'BOB', ('hair', 'facial_hair', 'glasses')),
                            ('hair', 'SHAGGY', ('facial_hair', 'glasses', 'hair')),
                            ('hat', 'HAT', ('hat', 'facial_hair', 'glasses')),
                            ('hair', '', ('facial_hair', 'glasses'))]:
    assert avatar_layers.order_at_the_top(slot, name) == order
  for slot, name in PARTS:
    if slot in ('hair', 'hat'):
      assert sorted(avatar_layers.order_at_the_top(slot, name)) == ['facial_hair', 'glasses', slot]


def test_recipe_survives_json():
  assert avatar_faces.Recipe.from_json(FACES[3].to_json()) == FACES[3]


def test_faces_of_all_splits_differ():
  recipes = [avatar_faces.recipe(1, split, index) for split in avatar_faces.SPLITS
             for index in range(300)]
  assert len(set(recipes)) == len(recipes)
  assert avatar_faces.recipe(2, 'train', 0) != recipes[0]


def test_attributes_are_frequent_and_independent():
  count = 3000
  table = np.array([list(avatar_faces.attributes_of(avatar_faces.recipe(3, 'train', i)).values())
                    for i in range(count)], np.float64)
  share = dict(zip(avatar_faces.ATTRIBUTES, table.mean(0), strict=True))
  for name in ('Eyeglasses', 'Facial_Hair', 'Smiling'):
    assert abs(share[name] - 0.5) < 0.04
  assert abs(share['Wearing_Hat'] - 0.15) < 0.03
  assert abs(share['Bald'] - 0.85 * 0.1) < 0.03
  for name in avatar_faces.HAIR_COLORS:
    assert abs(share[f'{name}_Hair'] - 0.85 * 0.9 / 6) < 0.03
  # Sunglasses are eyeglasses, a head has one hair colour and a hat hides it; all else is free.
  exclusive = {'Bald', 'Wearing_Hat', *(f'{name}_Hair' for name in avatar_faces.HAIR_COLORS)}
  for (i, one), (j, other) in itertools.combinations(enumerate(avatar_faces.ATTRIBUTES), 2):
    if {one, other} <= exclusive or {one, other} == {'Eyeglasses', 'Sunglasses'}:
      continue
    assert abs(np.corrcoef(table[:, i], table[:, j])[0, 1]) < 0.08, (one, other)


def test_glasses_cover_enough_of_32_pixels():
  faces = faces_with('Eyeglasses')
  masks = np.stack([avatar_faces.attribute_mask(face, 'Eyeglasses', 32) for face in faces])
  assert 0.06 < masks.mean() < 0.12
  assert masks.mean(axis=(1, 2)).min() > 0.03


def test_every_hair_and_hat_takes_its_colour():
  for part, field in [(name, 'hair') for name in avatar_parts.HAIRS] + [
      (name, 'hat') for name in avatar_parts.HATS]:
    face = dataclasses.replace(FACES[0], **{'hat': '', field: part})
    dark, light = (dataclasses.replace(face, **{f'{field}_color': color})
                   for color in ('#000000', '#FFFFFF'))
    assert avatar_faces.changed(dark, light, SIZE).sum() > 40, part


# Masks and answers.


@pytest.mark.parametrize('attribute', avatar_faces.ATTRIBUTES)
def test_mask_is_where_the_attribute_shows(attribute):
  for face in faces_with(attribute)[:8]:
    mask = avatar_faces.attribute_mask(face, attribute, SIZE)
    before, after = pictures(face, avatar_faces.without(face, [attribute]))
    change = np.abs(before - after).max(-1)
    assert mask.dtype == np.float32 and mask.shape == (SIZE, SIZE)
    assert mask.min() >= 0 and 0.5 < mask.max() <= 1
    assert not change[mask == 0].any()
    assert (change > 0)[mask > 0.5].mean() > 0.7  # not all: a part may have the colour under it
    assert (change <= 255 * mask + 1).all()
  for face in faces_with(attribute, present=False)[:4]:
    assert not avatar_faces.attribute_mask(face, attribute, SIZE).any()
    assert avatar_faces.without(face, [attribute]) == face


def test_mask_of_glasses_is_their_coverage():
  # On faces that differ in everything below, the same glasses must add the same light.
  face, other = [dataclasses.replace(face, glasses='SUNGLASSES', hair='', hat='', facial_hair='')
                 for face in FACES[:2]]
  mask = avatar_faces.attribute_mask(face, 'Eyeglasses', SIZE)
  np.testing.assert_array_equal(mask, avatar_faces.attribute_mask(other, 'Eyeglasses', SIZE))
  assert ((mask > 0.1) & (mask < 0.9)).sum() > 30  # tinted lenses and soft edges
  light = []
  for one in (face, other):
    wearing, bare = pictures(one, avatar_faces.without(one, ['Eyeglasses']))
    light.append(wearing - bare * (1 - mask[..., None]))
  np.testing.assert_allclose(light[0], light[1], atol=1.5)  # bytes, rounded


@pytest.mark.parametrize('attribute', avatar_faces.ATTRIBUTES)
def test_put_on_and_taken_off_again_is_the_same_face(attribute):
  bare = [face for face in faces_with(attribute, present=False)
          if attribute != 'Sunglasses' or not face.glasses]  # otherwise they replace another pair
  pairs = itertools.product(bare[:6], faces_with(attribute)[:4])
  changes = 0
  for face, other in pairs:
    wearing = avatar_faces.with_attributes_of(face, other, [attribute])
    before, after = pictures(face, wearing)
    changed = avatar_faces.changed(face, wearing, SIZE)
    assert not np.abs(before - after)[changed == 0].any()
    changes += changed.any()
    back = avatar_faces.without(wearing, [attribute])
    np.testing.assert_array_equal(avatar_faces.render(back, SIZE), before)
  assert changes > 10  # a hat may hide a hair colour, but most are seen


def test_transfer_takes_the_exemplars_own_pair():
  for face, other in zip(faces_with('Eyeglasses', False)[:10], faces_with('Eyeglasses')[:10],
                         strict=True):
    wearing = avatar_faces.with_attributes_of(face, other, ['Eyeglasses'])
    assert wearing == dataclasses.replace(face, glasses=other.glasses)
    opaque = ((avatar_faces.attribute_mask(wearing, 'Eyeglasses', SIZE) == 1)
              & (avatar_faces.attribute_mask(other, 'Eyeglasses', SIZE) == 1))
    translated, exemplar = pictures(wearing, other)
    np.testing.assert_array_equal(translated[opaque], exemplar[opaque])
  face, other = faces_with('Facial_Hair', False)[0], faces_with('Facial_Hair')[0]
  wearing = avatar_faces.with_attributes_of(face, other, ['Facial_Hair', 'Smiling'])
  assert wearing.facial_hair_color == other.facial_hair_color
  assert (wearing.mouth, wearing.facial_hair) == (other.mouth, other.facial_hair)


def visible_hair(face):
  return bool(face.hair) and not face.hat


@pytest.mark.parametrize('names', [
    ('hair_color', 'mouth'), ('Black_Hair', 'Smiling'), ('mouth', 'Red_Hair', 'Blond_Hair')])
def test_transfer_of_hair_and_mouth_takes_both_whatever_they_are(names):
  faces = [face for face in FACES if visible_hair(face)]
  met = set()
  for face, other in zip(faces, faces[1:], strict=False):
    expected = dataclasses.replace(face, hair_color=other.hair_color, mouth=other.mouth)
    wearing = avatar_faces.with_attributes_of(face, other, names)
    # Nothing else in the drawing moved; what shows when an attribute is removed may differ.
    spares = {name: '' for name in avatar_faces.Recipe.__dataclass_fields__ if 'spare' in name}
    assert dataclasses.replace(wearing, **spares) == dataclasses.replace(expected, **spares)
    np.testing.assert_array_equal(avatar_faces.render(wearing, SIZE),
                                  avatar_faces.render(expected, SIZE))
    hers, theirs = (avatar_faces.attributes_of(one) for one in (face, other))
    after = avatar_faces.attributes_of(wearing)
    for name in hers:
      moved = name == 'Smiling' or name[:-5] in avatar_faces.HAIR_COLORS
      assert after[name] == (theirs if moved else hers)[name]
    met.add((hers['Smiling'], theirs['Smiling']))
  assert len(met) == 4  # smiles are added, removed, swapped, or absent in both


def test_features_are_where_the_picture_depends_on_them():
  for face in FACES[:60]:
    labels = [avatar_faces.attribute_mask(face, f'{name}_Hair', SIZE)
              for name in avatar_faces.HAIR_COLORS]
    hair = avatar_faces.attribute_mask(face, 'hair_color', SIZE)
    np.testing.assert_array_equal(hair, np.max(labels, axis=0))
    assert hair.any() == visible_hair(face)
    mouth = avatar_faces.attribute_mask(face, 'mouth', SIZE)
    swapped = dataclasses.replace(face, mouth=face.spare_mouth, spare_mouth=face.mouth)
    np.testing.assert_allclose(mouth, avatar_faces.attribute_mask(swapped, 'mouth', SIZE),
                               atol=1e-6)
    smiling = max(face, swapped, key=lambda one: avatar_faces.attributes_of(one)['Smiling'])
    np.testing.assert_allclose(mouth, avatar_faces.attribute_mask(smiling, 'Smiling', SIZE),
                               atol=1e-6)
    before, after = pictures(face, swapped)
    assert mouth.max() > 0.5 and not (before != after).any(axis=-1)[mouth == 0].any()


def test_features_are_no_labels():
  assert not set(avatar_faces.FEATURES) & set(avatar_faces.ATTRIBUTES)
  assert tuple(avatar_faces.attributes_of(FACES[0])) == avatar_faces.ATTRIBUTES
  for face in FACES[:20]:
    changed = avatar_faces.without(face, avatar_faces.FEATURES)
    assert changed.mouth == face.spare_mouth
    assert changed.hair_color == (face.spare_hair_color if visible_hair(face) else face.hair_color)


def test_transfer_from_a_face_without_it_takes_it_off():
  face, other = faces_with('Eyeglasses')[0], faces_with('Eyeglasses', False)[0]
  assert avatar_faces.with_attributes_of(face, other, ['Eyeglasses']) == avatar_faces.without(
      face, ['Eyeglasses'])


def test_unknown_attribute_names_the_nearest():
  with pytest.raises(errors.UserError, match="no attribute 'Eyeglases'.*'Eyeglasses'"):
    avatar_faces.without(FACES[0], ['Eyeglases'])
  with pytest.raises(errors.UserError, match="no attribute 'mouht'.*mean 'mouth'.*hair_color"):
    avatar_faces.with_attributes_of(FACES[0], FACES[1], ['mouht'])
  with pytest.raises(errors.UserError, match="no attribute 'Smile'"):
    avatar_faces.attribute_mask(FACES[0], 'Smile', SIZE)
