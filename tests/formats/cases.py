"""One hand-made file per format, with the traps of its row, and its events.

CASES: format -> (file name, text, rows (start, end, label, ...as a dict)).
"""

TEXTGRID_LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.25
            text = "say ""hi"""
        intervals [3]:
            xmin = 1.25
            xmax = 2.5
            text = "None"
    item [2]:
        class = "IntervalTier"
        name = "dog"
        xmin = 0
        xmax = 2.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2.5
            text = "dog"
'''
TEXTGRID_SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
2
"IntervalTier"
"words"
0
2.5
3
0
0.5
""
0.5
1.25
"say ""hi"""
1.25
2.5
"None"
"IntervalTier"
"dog"
0
2.5
1
0
2.5
"dog"
'''
TEXTGRID_ROWS = [
  (0.5, 1.25, 'say "hi"', {"track": "words"}),
  (1.25, 2.5, "None", {"track": "words"}),
  (0.0, 2.5, "dog"),
]
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///home/me/a%20b.wav" MIME_TYPE="x"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1250"/>
    <TIME_SLOT TIME_SLOT_ID="ts3"/>
  </TIME_ORDER>
  <TIER ANNOTATOR="Ann" LINGUISTIC_TYPE_REF="default-lt" TIER_ID="birds">
    <ANNOTATION>
      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1"
          TIME_SLOT_REF2="ts2">
        <ANNOTATION_VALUE>owl &amp; "crow"</ANNOTATION_VALUE>
      </ALIGNABLE_ANNOTATION>
    </ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="ref" PARENT_REF="birds" TIER_ID="default">
    <ANNOTATION>
      <REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1">
        <ANNOTATION_VALUE>loud</ANNOTATION_VALUE>
      </REF_ANNOTATION>
    </ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
"""
JAMS = """{"annotations": [
 {"namespace": "scaper", "annotation_metadata": {"annotator": {}},
  "data": [
   {"time": 0.0, "duration": 10.0, "confidence": 1.0,
    "value": {"label": "park", "role": "background"}},
   {"time": 0.5, "duration": 0.75, "confidence": 1.0,
    "value": {"label": "None", "role": "foreground", "event_duration": 3}}]},
 {"namespace": "segment_open",
  "annotation_metadata": {"annotator": {"name": "Ann"}},
  "data": [{"time": 1e0, "duration": 1, "value": "dog", "confidence": null}]},
 {"namespace": "tag_open",
  "data": [{"time": 0, "duration": 10, "value": "dog", "confidence": 0.5}]}],
 "file_metadata": {"duration": 10.0}, "sandbox": {}}
"""
RAVEN = (
  "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\t"
  "High Freq (Hz)\tBegin Path\tFile Offset (s)\tSpecies\tNotes\n"
  "1\tWaveform 1\t1\t0.5\t1.25\t0\t0\t/data/x.wav\t0.5\tNone\tfar\n"
  "1\tSpectrogram 1\t1\t0.5\t1.25\t100\t2000\t/data/x.wav\t0.5\tNone\tfar\n"
  '2\tSpectrogram 1\t2\t60.0\t61.0\t5e2\t\t/data/y.wav\t1.0\t"owl"\t\n'
)

CASES = {
  "csv": (
    "x.csv",
    "filename,start,end,label,score,track\n"
    'a.wav,0.5,1.25,"say ""hi"", dog",,v\na.wav,1e0,2,None,0.5,\nb.wav,,,,,\n',
    [
      (0.5, 1.25, 'say "hi", dog', {"track": "v"}),
      (1.0, 2.0, "None", {"score": 0.5}),
    ],
  ),
  "tsv": (
    "x.tsv",
    "label\tfilename\tstart\tend\nNA\ta.wav\t0.5\t1.25\n",
    [(0.5, 1.25, "NA")],
  ),
  "json": (
    "x.json",
    '{"filename": "a.wav", "duration_seconds": 3,\n "events": [{"start": 0.5,'
    '\n"end": 1.25, "label": "null", "score": null}]}',
    [(0.5, 1.25, "null")],
  ),
  "jsonl": (
    "x.jsonl",
    '{"start": 0.5, "end": 1.25, "label": "None", "filename": "a.wav"}\n'
    '{"start": 1, "end": 2e0, "label": "b", "filename": "a.wav"}\n'
    '{"row_kind": "empty", "filename": "b.wav"}\n',
    [(0.5, 1.25, "None"), (1.0, 2.0, "b")],
  ),
  "desed_strong": (
    "x.tsv",
    "event_label\tonset\toffset\tfilename\tindex\tdevice\n"
    '"tab\there"\t0.5\t1.25\ta.wav\t1\tphone\n'
    "NA\t1e0\t2\ta.wav\t2\t\n\t\t\tb.wav\t3\t\n",
    [(0.5, 1.25, "tab\there"), (1.0, 2.0, "NA")],
  ),
  "dcase_list": (
    "x.txt",
    "a.wav\tstreet\t 0.5 \t1.25\tNone\n"
    "a.wav\tstreet\t1e0\t2\tcar, old\nb.wav\n",
    [(0.5, 1.25, "None"), (1.0, 2.0, "car, old")],
  ),
  "urban_sed": (
    "a.txt",
    '0.5\t1.25\tdog "Rex"\n1e0\t2\tNA\n',
    [(0.5, 1.25, 'dog "Rex"'), (1.0, 2.0, "NA")],
  ),
  "mirex": ("a.lab", "0.5\t1.25\tMusic\n", [(0.5, 1.25, "Music")]),
  "tut_ann": (
    "x.ann",
    "audio/street/a.wav\tstreet\t0.5\t1.25\tpeople walking\tm\n"
    "audio/street/a.wav\tstreet\t1e0\t2\tcar\n",
    [(0.5, 1.25, "people walking"), (1.0, 2.0, "car")],
  ),
  "maestro_soft": (
    "a.txt",
    "0\t1\tcar\t0.25\n1\t2\tcar\t1e-1\n",
    [(0.0, 1.0, "car", {"score": 0.25}), (1.0, 2.0, "car", {"score": 0.1})],
  ),
  "maestro_windows": (
    "x.tsv",
    "filename\tonset\toffset\tevent_label\tconfidence\n"
    "r-000000-001000.wav\t0.5\t1.25\tcar\t0.25\n",
    [(0.5, 1.25, "car", {"score": 0.25})],
  ),
  "muspeak": (
    "a.csv",
    "0.5,0.75,m\n1.25,1e0,s\n",
    [(0.5, 1.25, "m"), (1.25, 2.25, "s")],
  ),
  "ofai": (
    "a.label",
    "start\tduration\tflag\n0.5\t0.75\t1\n",
    [(0.5, 1.25, "1")],
  ),
  "qlemaire": (
    "a.txt",
    "0.5 1.25 music\n1.25 2e0 speech\n",
    [(0.5, 1.25, "music"), (1.25, 2.0, "speech")],
  ),
  "audioset_strong": (
    "x.tsv",
    "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n"
    "--a_b_30000\t0.500\t1.250\t/m/09x0r\n",
    [(0.5, 1.25, "/m/09x0r")],
  ),
  "raven": (
    "x.Table.1.selections.txt",
    RAVEN,
    [
      (0.5, 1.25, "None", {"low_hz": 100.0, "high_hz": 2000.0}),
      (1.0, 2.0, '"owl"', {"low_hz": 500.0}),
    ],
  ),
  "audacity": (
    "a.txt",
    '0.500000\t1.250000\tdog "Rex"\n\\\t100.0\t-1\n1e0\t2\tNA\n',
    [(0.5, 1.25, 'dog "Rex"', {"low_hz": 100.0}), (1.0, 2.0, "NA")],
  ),
  "rttm": (
    "x.rttm",
    ";; comment\nSPEAKER a 1 0.500 0.750 <NA> <NA> NA 0.5 <NA>\n"
    "SPEAKER a 1 1.1 0.2 <NA> <NA> spk <NA> <NA>\n",
    [(0.5, 1.25, "NA", {"score": 0.5}), (1.1, 1.3, "spk")],
  ),
  "textgrid": ("a.TextGrid", TEXTGRID_LONG, TEXTGRID_ROWS),
  "elan": (
    "x.eaf",
    EAF,
    [
      (0.5, 1.25, 'owl & "crow"', {"track": "birds", "annotator": "Ann"}),
      (0.5, 1.25, "loud"),
    ],
  ),
  "jams": (
    "a.jams",
    JAMS,
    [(0.5, 1.25, "None"), (1.0, 2.0, "dog", {"annotator": "Ann"})],
  ),
  "srt": (
    "a.srt",
    "1\n00:00:00,500 --> 00:00:01,250\nNone (0.87)\n\n"
    "2\n01:00:01,000 --> 01:00:02,000\na dog\nbarks\n",
    [(0.5, 1.25, "None", {"score": 0.87}), (3601.0, 3602.0, "a dog barks")],
  ),
  "vtt": (
    "a.vtt",
    "WEBVTT - x\n\nNOTE no\ncue\n\n00:00.500 --> 00:01.250 align:start\n"
    "<v Ann>a &lt; b\n",
    [(0.5, 1.25, "a < b")],
  ),
}
FILENAMES = {
  "rttm": "a",
  "tut_ann": "audio/street/a.wav",
  "maestro_windows": "r-000000-001000.wav",
  "audioset_strong": "--a_b_30000",
  "elan": "a b.wav",
}
# Formats whose lines mean something when they are blank.
NOT_BY_LINES = ("srt", "vtt", "csv", "json")
