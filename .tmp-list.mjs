import * as x from 'iced-x86';
const {Code,CodeExt,Mnemonic,OpCodeOperandKind}=x;
const want=process.argv.slice(2);
const by={};
for(const v of Object.values(Code)){if(typeof v!=='number')continue;const i=CodeExt.opCode(v);if(i.encoding!==0)continue;(by[Mnemonic[i.mnemonic]]??=[]).push(v);}
if(want.length===0){console.log(Object.entries(by).map(([k,l])=>k+':'+l.length).join(' '));}
for(const w of want)for(const c of by[w]??[]){const i=CodeExt.opCode(c);console.log(Code[c],i.toOpCodeString?.(),'|',[...Array(i.opCount)].map((_,k)=>OpCodeOperandKind[i.opKind(k)]).join(','), i.mode16?'16':'',i.mode32?'32':'',i.mode64?'64':'', 'os',i.operandSize,i.canUseLockPrefix?'LOCK':'')}
