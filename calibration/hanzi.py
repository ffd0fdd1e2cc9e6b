"""Traditional characters as simplified ones, as far as titles of documents and adverts use them."""

from __future__ import annotations

__all__ = ["simplified"]

# Pairs of one traditional and one simplified character.
_PAIRS = (
    "執执業业營营許许證证書书資资駕驾駛驶畢毕協协議议統统會会碼码約约務务勞劳動动簽签訂订學学歷历職职稱称衛卫產产權权稅税記记冊册"
    "機机構构組组織织號号發发頒颁經经農农電电聯联綜综結结適适雙双條条訓训練练護护國国際际賃赁購购銷销貸贷擔担標标準准認认"
    "質质檢检驗验駐驻團团體体員员華华廠厂運运輸输輪轮車车醫医師师藥药飲饮樓楼場场開开戶户關关係系責责讓让轉转買买賣卖價价"
    "錄录辦办備备幫帮過过內内與与為为須须請请並并優优從从應应該该滿满齡龄歲岁獲获獎奖榮荣譽誉總总單单據据貨货幣币銀银鐵铁間间"
    "問问題题類类級级別别種种籤签傳传遞递遷迁遲迟還还邊边達达進进違违鄉乡審审寫写實实寶宝專专將将對对導导屆届層层島岛師师帶带廣广"
)
_TABLE = str.maketrans({_PAIRS[index]: _PAIRS[index + 1] for index in range(0, len(_PAIRS), 2)})


def simplified(text: str) -> str:
    """``text`` with its traditional characters replaced, one for one; others stay."""
    return text.translate(_TABLE)
