"""What stands on drawn pages: words of trade, recruitment and offices, in Chinese and English."""

# ruff: noqa: E501, RUF001

from __future__ import annotations

import numpy as np

__all__ = ["Writer"]

TITLES = (
    "诚聘英才", "高薪诚聘", "招聘启事", "加入我们", "急招", "限时特惠", "新品上市", "盛大开业", "年终大促", "买一送一",
    "厂家直销", "品质保证", "免费试吃", "会员日", "健身私教", "英语培训", "家政服务", "二手房源", "精装公寓", "今日特价",
    "NOW HIRING", "JOIN US", "GRAND OPENING", "SUMMER SALE", "NEW ARRIVAL", "FREE TRIAL", "LIVE MUSIC", "OPEN DAY",
    "BLACK WEEK", "WE ARE OPEN", "COFFEE & CAKE", "YOGA CLASS", "50% OFF", "HAPPY HOUR", "WORKSHOP", "MARKET DAY",
)  # fmt: skip
PHRASES = (
    "五险一金 双休", "月薪 6000-9000 元", "包吃住 有年终奖", "经验不限 可培训", "工作地点：高新区软件园", "联系电话 138-0000-1234",
    "扫码咨询 名额有限", "全场五折起", "满 200 减 50", "支持定制 一件代发", "终身质保 送货上门", "预约享八折优惠", "品牌授权 正品保障",
    "每天十点开抢", "客服微信同号", "地址：人民路 88 号", "前台 / 文员 / 销售 / 司机", "服务员 厨师 洗碗工", "仓库管理员若干名",
    "Full time and part time", "Apply before 30 June", "No experience needed", "Call 555-0142 today", "Free delivery over $30",
    "Monday to Friday, 9 to 5", "Buy two, get one free", "Limited places", "www.example.com", "Ask at the counter",
    "Handmade since 1987", "Doors open at seven", "Salary from 3,200 a month", "All ages welcome", "Terms and conditions apply",
)  # fmt: skip
CERTIFICATES = (
    "荣誉证书", "营业执照", "结业证书", "资格证书", "食品经营许可证", "授权书", "检验报告", "毕业证书", "劳动合同", "收据", "质量管理体系认证证书",
    "CERTIFICATE", "DIPLOMA", "BUSINESS LICENCE", "CONTRACT OF EMPLOYMENT", "INVOICE", "RECEIPT", "TEST REPORT", "AWARD",
)  # fmt: skip
HAN = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进着等部度家电力"
    "里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利"
    "比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接"
)
LATIN = [
    "service",
    "quality",
    "customer",
    "team",
    "office",
    "manager",
    "report",
    "safety",
    "product",
    "order",
    "total",
    "amount",
    "number",
    "date",
    "name",
    "address",
    "city",
    "street",
    "signature",
    "company",
    "training",
    "skills",
    "project",
    "market",
    "price",
    "delivery",
    "contact",
    "email",
    "phone",
    "store",
    "online",
    "payment",
    "account",
    "account",
    "notes",
    "summary",
    "design",
    "system",
    "update",
    "the",
    "of",
    "and",
    "to",
    "in",
    "for",
    "with",
    "on",
    "by",
    "from",
    "at",
    "as",
    "is",
    "are",
    "be",
    "this",
    "that",
    "will",
    "may",
    "not",
    "all",
    "any",
    "each",
    "more",
    "other",
    "new",
    "used",
    "full",
]


class Writer:
    """Words at random, as ``rng`` will have them; a page is written in one language or in both."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.latin = float(rng.choice([0.0, 0.3, 1.0], p=[0.45, 0.2, 0.35]))

    def _of(self, choices: tuple[str, ...]) -> str:
        western = self.rng.random() < self.latin
        among = [choice for choice in choices if choice[0].isascii() == western] or list(choices)
        return among[int(self.rng.integers(len(among)))]

    def title(self) -> str:
        """A headline."""
        return self._of(TITLES)

    def phrase(self) -> str:
        """A line of an advert."""
        return self._of(PHRASES)

    def certificate(self) -> str:
        """What a document calls itself."""
        return self._of(CERTIFICATES)

    def sentence(self, least: int = 8, most: int = 30) -> str:
        """Running text that says nothing."""
        count = int(self.rng.integers(least, most))
        if self.rng.random() < self.latin:
            words = [LATIN[int(index)] for index in self.rng.integers(len(LATIN), size=max(3, count // 2))]
            return " ".join(words).capitalize() + "."
        return "".join(HAN[int(index)] for index in self.rng.integers(len(HAN), size=count)) + "。"

    def paragraph(self, sentences: int) -> str:
        """Several sentences."""
        return " ".join(self.sentence() for _ in range(sentences))

    def price(self) -> str:
        """An amount of money."""
        value = int(self.rng.integers(3, 2000))
        return f"¥{value}" if self.rng.random() > self.latin else f"${value}.{int(self.rng.integers(10)) * 10 + 9:02}"

    def number(self, digits: int = 8) -> str:
        """Digits."""
        return "".join(str(int(digit)) for digit in self.rng.integers(10, size=digits))
