"""How the page looks, in light and in dark. Fonts are those of the reader's system."""

STYLE = """
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#1b2330;--soft:#5d6878;--line:#e2e6ec;--accent:#3565d8;
--high:#c2303a;--medium:#a86200;--low:#5d6878;--high-bg:#fdecec;--medium-bg:#fff2dc;--low-bg:#eef1f5}
@media (prefers-color-scheme:dark){:root{--paper:#12161c;--card:#1a2029;--ink:#e6eaf0;--soft:#96a1b2;--line:#2b3340;
--accent:#7aa2ff;--high:#ff8a8f;--medium:#f2b75c;--low:#96a1b2;--high-bg:#3b1d22;--medium-bg:#3a2c14;--low-bg:#262e3a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans",
"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
main{max-width:1120px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:30px;line-height:1.2;margin:0 0 20px;overflow-wrap:anywhere}h2{font-size:19px;margin:40px 0 14px}
h3{font-size:15px;margin:0;overflow-wrap:anywhere}p{margin:0}
.eyebrow{color:var(--soft);font-size:12px;letter-spacing:.08em;text-transform:uppercase;margin-bottom:4px}
.tiles{display:flex;flex-wrap:wrap;gap:12px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 18px;min-width:112px}
.tile b{display:block;font-size:22px;line-height:1.2;font-variant-numeric:tabular-nums}
.tile span,.note,.kind,.facts{color:var(--soft);font-size:13px}
header .note{margin-top:14px}
.fine{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px}
.card{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--low);border-radius:10px;
padding:16px 18px;margin-bottom:14px}
.card.high{border-left-color:var(--high)}.card.medium{border-left-color:var(--medium)}
.head{display:flex;flex-wrap:wrap;align-items:center;gap:8px 10px;margin-bottom:8px}
.badge{font-size:12px;font-weight:600;border-radius:99px;padding:1px 10px;background:var(--low-bg);color:var(--low)}
.badge.high{background:var(--high-bg);color:var(--high)}.badge.medium{background:var(--medium-bg);color:var(--medium)}
.check{font-weight:600}code{background:var(--low-bg);border-radius:5px;padding:1px 7px;font-size:13px}
.message{overflow-wrap:anywhere}.advice{color:var(--soft);margin-top:2px;overflow-wrap:anywhere}
.rows{display:flex;flex-wrap:wrap;gap:12px;margin-top:14px;align-items:flex-start}
.group{display:flex;flex-wrap:wrap;gap:10px;min-width:0;max-width:100%;border:1px dashed var(--line);border-radius:10px;
padding:10px;align-items:flex-start}
.group>.note{align-self:center}
.card>.note{margin-top:10px}
.row{margin:0;width:168px;background:var(--paper);border:1px solid var(--line);border-radius:8px;overflow:hidden}
.row img{display:block;width:112px;height:112px;object-fit:contain;margin:12px auto 8px;image-rendering:auto}
.row dl{margin:0;padding:8px 10px;font-size:12.5px;line-height:1.4}
.row dl div{display:flex;justify-content:space-between;gap:8px}
.row dl div.text{display:block;margin-bottom:6px}
.row dl div.target{border-top:1px solid var(--line);margin-top:5px;padding-top:5px;font-weight:600}
.row dl div:first-child.target{border:0;margin:0;padding:0}
.row dt{color:var(--soft);font-weight:400;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.row dd{margin:0;overflow-wrap:anywhere;text-align:right}.row .text dd{text-align:left}
.row figcaption{border-top:1px solid var(--line);padding:5px 10px;font-size:12px;color:var(--soft);display:flex;
flex-wrap:wrap;justify-content:space-between;gap:0 8px}
.row figcaption b{color:var(--ink);overflow-wrap:anywhere}
.sheet{overflow-x:auto;max-width:100%}.sheet table{border-collapse:collapse;font-size:13px;
font-variant-numeric:tabular-nums}
.sheet th,.sheet td{padding:4px 12px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
.sheet th{color:var(--soft);font-weight:500}.sheet th:first-child{text-align:left}
.sheet td:nth-child(2){font-weight:600}
.sheet small{margin-left:8px}.sheet i{color:var(--medium)}
.broken{margin:12px auto 8px;width:112px;height:112px;border:1px dashed var(--high);border-radius:8px;color:var(--high);
font-size:12px;display:flex;align-items:center;justify-content:center;text-align:center;padding:8px}
.wave{display:block;width:100%;height:56px;padding:8px}.wave line{stroke:var(--accent);stroke-width:.7}
.row:has(.text){width:264px}.columns{display:grid;align-items:start;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:14px}
.column{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;min-width:0}
.column .head{justify-content:space-between;flex-wrap:nowrap}.kind{white-space:nowrap}
.facts{margin-top:8px}.facts em{color:var(--medium);font-style:normal}
.chart{margin:0}.chart svg{display:block;width:100%;height:84px}.chart rect{fill:var(--accent)}
.chart figcaption{display:flex;justify-content:space-between;color:var(--soft);font-size:12px;margin-top:3px;
border-top:1px solid var(--line);font-variant-numeric:tabular-nums}
.bars{font-size:13px;max-width:520px;margin-top:10px}.column .bars{margin-top:0}
.bar{display:grid;grid-template-columns:minmax(60px,130px) 1fr auto;gap:10px;align-items:center;padding:1px 0;
font-variant-numeric:tabular-nums}
.bar .name{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.track{background:var(--low-bg);border-radius:4px;height:10px}.track i{display:block;height:10px;min-width:2px;
border-radius:4px;background:var(--accent)}
@media (max-width:560px){main{padding:24px 14px}.row{width:calc(50% - 6px)}}
@media print{body{background:#fff}.card,.column{break-inside:avoid}}
""".replace("\n", "")
