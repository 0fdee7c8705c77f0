"""What users wrote about a model, by what they complain about: made by hand, in two languages.

The thresholds were chosen on `TEXTS`; `OTHER_TEXTS` were written afterwards and nothing was changed for them.
"""

from __future__ import annotations

Texts = dict[str, tuple[str, ...]]

TEXTS: Texts = {
    "slow": (
        "It is so slow, I waited ten seconds.",
        "The answer took forever, really slow today",
        "Too slow!",
        "why is this slow? I had to wait a long time",
        "very slow response, waited almost a minute",
        "Waiting time is too long, slow as a snail",
        "got slower since the update",
    ),
    "dogs": (
        "This is a dog, not a cat!",
        "You call my dog a cat.",
        "my dog is always taken for a cat",
        "The photo shows a dog and the answer says cat",
        "dog again labelled as cat",
        "That's a puppy, a dog, and never a cat",
    ),
    "login": (
        "I cannot log in with my password",
        "Login fails, password not accepted",
        "password is right but login says no",
        "can't login since yesterday",
        "The login page rejects my password every time",
    ),
    "crash": (
        "The app crashes when I upload a photo",
        "upload a big photo and the app crashed",
        "crash on upload!!",
        "Crashes every time I upload pictures",
        "app crashed again during the upload",
    ),
    "慢": (
        "太慢了，等了十秒钟",
        "响应速度很慢",
        "速度太慢，等了很久",
        "为什么这么慢？要等很长时间",
        "今天特别慢，等半天没反应",
        "加载速度慢",
    ),
    "狗": (
        "这是狗，不是猫",
        "把我的狗认成了猫",
        "照片里明明是狗，却说是猫",
        "又把狗识别成猫了",
        "我家的狗被当成猫",
    ),
    "登录": (
        "登录不了，密码是对的",
        "一直提示密码错误，无法登录",
        "密码正确却登录失败",
        "昨天开始就登录不了了",
        "登录页面不接受我的密码",
    ),
    "闪退": (
        "上传照片就闪退",
        "一上传图片应用就闪退了",
        "上传的时候又闪退",
        "每次上传都会闪退",
        "应用闪退，上传不了照片",
    ),
}

OTHER_TEXTS: Texts = {
    "price": (
        "The price estimate is far too high",
        "estimated price twice as high as the real one",
        "Price too high for such a small flat",
        "your price is much higher than what I paid",
        "high price again, nobody pays that",
    ),
    "address": (
        "It does not find my address",
        "address not found",
        "My street address is unknown to it",
        "cannot find the address I typed",
        "wrong address found, I live elsewhere",
    ),
    "language": (
        "The answer is in English although I asked in German",
        "why does it answer in English?",
        "Answers come in the wrong language, English instead of German",
        "please answer in German, not English",
    ),
    "价格": (
        "估价太高了",
        "价格比实际高一倍",
        "估价比市场价格高很多",
        "这套小房子价格估得太高",
        "估价偏高，没人会付这个价格",
    ),
    "地址": (
        "找不到我的地址",
        "地址搜索不到",
        "输入的地址找不到",
        "地址定位错误，我不住那里",
        "地址找错了",
    ),
    "发票": (
        "发票开不出来",
        "一直收不到发票",
        "发票抬头填错了不能改",
        "电子发票下载失败",
    ),
}
