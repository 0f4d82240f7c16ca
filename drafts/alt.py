import sys; sys.path.insert(0, 'drafts')
from pathlib import Path
import nbformat
from alts import ALTS
p=Path(sys.argv[1]); n=int(p.name[:2]); nb=nbformat.read(p,4)
left=set(ALTS[n])
for c in nb.cells:
    if c.id in ALTS[n] and c.cell_type=='code':
        zh,en=zip(*ALTS[n][c.id]); c.metadata['alt']={'zh':list(zh),'en':list(en)}; left.discard(c.id)
print(p.name, 'not found:', left) if left else None
nbformat.write(nb,p)
