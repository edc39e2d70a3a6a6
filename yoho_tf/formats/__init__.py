"""Annotation formats: one class each, in the order in which they are tried."""

from yoho_tf.formats import (
  audioset,
  captions,
  desed,
  elan,
  jams,
  lists,
  music,
  ours,
  ours_json,
  textgrid,
  tracks,
  tut,
)

FORMATS = {
  kind.name: kind
  for kind in (
    ours.Csv,
    ours.Tsv,
    ours_json.Json,
    ours_json.Jsonl,
    desed.DesedStrong,
    desed.DesedWeak,
    desed.DesedDurations,
    desed.OperatingPoints,
    desed.ScoreTsv,
    lists.DcaseList,
    lists.UrbanSed,
    lists.Mirex,
    tut.TutAnn,
    tut.MaestroSoft,
    tut.MaestroWindows,
    music.Muspeak,
    music.Ofai,
    music.Qlemaire,
    music.Musan,
    audioset.AudiosetStrong,
    audioset.AudiosetPosneg,
    audioset.AudiosetWeak,
    audioset.Esc50,
    tracks.Raven,
    tracks.Audacity,
    tracks.Rttm,
    textgrid.TextGrid,
    elan.Elan,
    jams.Jams,
    captions.Srt,
    captions.Vtt,
  )
}
