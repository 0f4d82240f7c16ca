import sys, json, time, dataclasses, functools, copy
from pathlib import Path
import torch
from torch import nn
from torch.nn.functional import interpolate
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
import d2lhelpers as d2l
from d2lhelpers import course
m=course.load_models(Path('notebooks/07_resnet_cifar10.ipynb'))
R,Scale,white,ident,BE,FA=(m[k] for k in ('Residual','Scale','whitening_filters','init_identity','ByEpoch','flip_alternately'))
Alt=lambda n: BE(FA,n)
C=dict(w=(64,192,256),res=(0,2,2),first=24,lr=0.4,wd=5e-4,bs=256,small=8,full=8,px=24,smooth=0.1,pad=2,seed=0,val=5000,decay=0.99,scale=1/8,up=0.2,mid=0,midpx=28,cut=0,c=0,last=0,bias=0,look=0,reflect=0,act='relu',ema=0,mom=.9,bnm=.1,div=5,fdiv=1e4,alt=1,still=0,sd=0.0)
for a in sys.argv[1:]:
    k,v=a.split('=',1); C[k]=eval(v) if k!='act' else v
print(C,flush=True)
ACT={'relu':nn.ReLU,'gelu':nn.GELU,'silu':nn.SiLU}[C['act']]
BN=lambda c: nn.BatchNorm2d(c,momentum=C['bnm'])
class RA(nn.Module):
    def __init__(s,c):
        super().__init__()
        s.f=nn.Sequential(nn.Conv2d(c,c,3,padding=1,bias=False),BN(c),ACT(),nn.Conv2d(c,c,3,padding=1,bias=False),BN(c)); s.a=ACT()
    def forward(s,x): return s.a(x+s.f(x))
class R1(nn.Module):
    def __init__(s,c):
        super().__init__(); s.f=nn.Sequential(nn.Conv2d(c,c,3,padding=1,bias=False),BN(c)); s.a=ACT()
    def forward(s,x): return s.a(x+s.f(x))
def net():
    L=[nn.Conv2d(3,C['first'],2),ACT()];c=C['first']
    for x,r in zip(C['w'],C['res']):
        L+=[nn.Conv2d(c,x,3,padding=1,bias=False),nn.MaxPool2d(2),BN(x),ACT()]
        if r: L+=[R1(x)] if r==1 else [RA(x)] if r==2 else [nn.Conv2d(x,x,3,padding=1,bias=False),BN(x),ACT()]
        c=x
    return nn.Sequential(*L,nn.AdaptiveMaxPool2d(1),nn.Flatten(),nn.Linear(c,10,bias=False),Scale(C['scale']))
def cutout(im,g):
    k=C['cut']; n=len(im); c=torch.randint(0,32,(2,n),generator=g); p=torch.arange(32)
    f=lambda c:(p-c[:,None]+k//2).remainder(64)<k
    m=f(c[0])[:,None,:,None]&f(c[1])[:,None,None,:]
    return torch.where(m,torch.tensor([125,123,114],dtype=torch.uint8).view(1,3,1,1),im)
def crop(images,generator,padding):
    if not C['reflect']: return d2l.random_crop(images,generator,padding)
    nn_,_,h,w=images.shape; o=torch.randint(2*padding+1,(2,nn_),generator=generator)
    p=torch.nn.functional.pad(images.float(),(padding,)*4,mode='reflect').to(torch.uint8)
    return p.unfold(2,h,1).unfold(3,w,1)[torch.arange(nn_),:,o[0],o[1]]
class Crop:
    def __init__(s,n): s.n,s.seen=n,0
    def __call__(s,im,g):
        e=s.seen//s.n; s.seen+=len(im); k=C['c']
        if e>=E-C['last']: return crop(im,g,C['pad'])
        nn_=len(im); o=torch.randint(33-k,(2,nn_),generator=g)
        return im.unfold(2,k,1).unfold(3,k,1)[torch.arange(nn_),:,o[0],o[1]]
class Grow:
    def __init__(s,n,plan): s.n,s.seen,s.plan=n,0,plan
    def __call__(s,im,g):
        e=s.seen//s.n; s.seen+=len(im); px=s.plan[min(e,len(s.plan)-1)]
        if px==im.shape[-1]: return im
        return interpolate(im.float(),size=(px,px),mode='bilinear',antialias=True).round().clamp(0,255).to(torch.uint8)
class Shift:
    def __init__(s,n): s.n,s.seen=n,0
    def __call__(s,im,g):
        e=s.seen//s.n; s.seen+=len(im)
        return im if e>=E-C['still'] else crop(im,g,C['pad'])
plan=[C['px']]*C['small']+[C['midpx']]*C['mid']+[32]*C['full']; E=len(plan)
data=d2l.load_cifar10(C['bs'],validation_size=C['val'],augment=(d2l.random_flip,),seed=C['seed'])
ds=data.train.dataset
ds.images=d2l.random_flip(ds.images,torch.Generator().manual_seed(C['seed']))
ds.augment=(Alt(len(ds)),(Crop(len(ds)) if C['c'] else Shift(len(ds))),*((cutout,) if C['cut'] else ()),Grow(len(ds),plan))
if C['val']: data=dataclasses.replace(data,test=None)
torch.manual_seed(C['seed'])
n=net().apply(ident)
X=(ds.images[:5000]/255-data.mean.view(3,1,1))/data.std.view(3,1,1)
n[0].weight.data=white(X); n[0].weight.requires_grad_(False); nn.init.zeros_(n[0].bias)
if C['bias']:
    b=[]
    for mod in n.modules():
        if isinstance(mod,nn.BatchNorm2d): mod.weight.requires_grad_(False); b.append(mod.bias)
    ids={id(p) for p in b}; rest=[p for p in n.parameters() if id(p) not in ids and p.requires_grad]
    opt=torch.optim.SGD([dict(params=rest,lr=C['lr'],weight_decay=C['wd']),dict(params=b,lr=C['lr']*C['bias'],weight_decay=C['wd']/C['bias'])],momentum=C['mom'],nesterov=True)
else: opt=torch.optim.SGD(n.parameters(),lr=C['lr'],momentum=C['mom'],nesterov=True,weight_decay=C['wd'])
steps=E*len(data.train)
sch=torch.optim.lr_scheduler.OneCycleLR(opt,[g['lr'] for g in opt.param_groups],total_steps=steps+1,pct_start=C['up'],anneal_strategy='linear',cycle_momentum=False,div_factor=C['div'],final_div_factor=C['fdiv'])
if C['ema']:
    avg=AveragedModel(n,multi_avg_fn=get_ema_multi_avg_fn(C['decay']),use_buffers=True)
    opt.register_step_post_hook(lambda *_: avg.update_parameters(n))
if C['look']:
    avg2=[p.detach().clone() for p in n.parameters()]; k=[0]
    def look(*_):
        k[0]+=1
        if k[0]%5==0:
            d=0.95**5*(k[0]/steps)**3
            with torch.no_grad():
                for a,p in zip(avg2,n.parameters()):
                    a.lerp_(p,1-d); p.copy_(a)
    opt.register_step_post_hook(look)
t=time.time()
h=d2l.train(n,data,epochs=E,optimizer=opt,schedule=sch,loss=nn.CrossEntropyLoss(label_smoothing=C['smooth']),seed=C['seed'],precision='auto',name='x/y/z')
held=data.validation if C['val'] else data.test
for e in range(E): print(e+1,plan[e],round(h.train_loss[e],4),round(h.train_accuracy[e],4),round((h.validation_accuracy or h.test_accuracy)[e],4) if (h.validation_accuracy or len(h.test_accuracy)==E) else '',round(h.seconds[e],1))
print('seconds',round(sum(h.seconds),1),'wall',round(time.time()-t,1))
s,y=d2l.predict(n,held,precision='bfloat16'); print('final',d2l.accuracy(s,y))
if C['ema']:
    s,y=d2l.predict(avg.module,held,precision='bfloat16'); print('ema',d2l.accuracy(s,y))
fl=[(Xb.flip(3),yb) for Xb,yb in held]; s2,_=d2l.predict(n,fl,precision='bfloat16'); print('tta flip',d2l.accuracy(s+s2,y))
