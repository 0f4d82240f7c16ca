"""usage: add.py notebook.ipynb"""
import re, sys
from pathlib import Path
import nbformat
sys.path.insert(0, '.')
from content import *
path = Path(sys.argv[1]); n = int(path.name[:2])
nb = nbformat.read(path, 4)
ids = [c.id for c in nb.cells]
i = ids.index('exercises-zh'); assert ids[i+1] == 'exercises-en'
old = [nb.cells[i].source, nb.cells[i+1].source]
if 'exercise-1' in ids:
    raise SystemExit('already there')
questions, keep = CONTENT[n]
if keep is None:
    keep = []
    for text in old:
        items = re.findall(r"^(\d+)\. (.*)$", text, re.M)
        keep.append("\n".join(f"- {t}" for k, t in items if int(k) in KEEP[n]))
def md(id, text, lang):
    c = nbformat.v4.new_markdown_cell(text, metadata={"tags": [lang]}); c.id = id; return c
cells = [md('exercises-zh', INTRO[0].format(n=n), 'zh'), md('exercises-en', INTRO[1].format(n=n), 'en')]
for k, (zh, en, code) in enumerate(questions, 1):
    cells += [md(f'exercise-{k}-zh', f"### 练习 {n}.{k}\n\n{zh}", 'zh'), md(f'exercise-{k}-en', f"### Exercise {n}.{k}\n\n{en}", 'en')]
    c = nbformat.v4.new_code_cell(code, metadata={"tags": ["exercise", "nbval-ignore-output"]}); c.id = f'exercise-{k}'; cells.append(c)
cells += [md('try-zh', TRY[0] + "\n\n" + keep[0], 'zh'), md('try-en', TRY[1] + "\n\n" + keep[1], 'en')]
nb.cells[i:i+2] = cells
REFER = {
 2: [("练习 2 从初始化开始","章末“接着试”从初始化开始"),("exercise 2 begins with the initialisation","“Things to try” at the end begins with the initialisation"),("练习 3 把数据增强拿掉再比","“接着试”里把数据增强拿掉再比"),("Exercise 3 takes augmentation away and compares again.","One of the things to try at the end takes augmentation away and compares again.")],
 4: [("练习 3 请你把它放回去","章末“接着试”请你把它放回去"),("Exercise 3 asks you to put it back","“Things to try” at the end asks you to put it back"),("（练习 2）","（见“接着试”）"),("(exercise 2)","(see “Things to try”)")],
 5: [("练习 3 把宽度补回来","章末“接着试”把宽度补回来"),("exercise 3 gives the width back","one of the things to try at the end gives the width back")],
}
for a, b in REFER.get(n, []):
    hits = [c for c in nb.cells if a in c.source]
    assert len(hits) == 1, (a, len(hits))
    hits[0].source = hits[0].source.replace(a, b)
nbformat.validate(nb)
nbformat.write(nb, path)
