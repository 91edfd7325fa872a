#pragma once
#include <cstdint>

/// Made by codegen/math_fit.py; change it there. Polynomials, constant coefficient first.
namespace kiln::codegen::tables {

/// (e^r - 1 - r) / r^2, |r| <= ln(2) / 2
inline constexpr double exp_f32[] = {
    0x1.0000000000000p-1, 0x1.5555560000000p-3, 0x1.5554e80000000p-5, 0x1.1110e00000000p-7,
    0x1.6d43b00000000p-10, 0x1.a1256c0000000p-13,
};
/// (log(1 + f) / s - 2) / s^2 in s^2, s = f / (2 + f), 1 + f in [sqrt(1/2), sqrt(2)]
inline constexpr double log_f32[] = {
    0x1.5555560000000p-1, 0x1.9999ec0000000p-2, 0x1.245c280000000p-2, 0x1.ddd4da0000000p-3,
};
/// erf(x) / x - 1 in x^2, |x| <= 1
inline constexpr double erf_small_f32[] = {
    0x1.06eba80000000p-3, -0x1.81273e0000000p-2, 0x1.ce2d100000000p-4, -0x1.b7faba0000000p-6,
    0x1.5412700000000p-8, -0x1.a450880000000p-11, 0x1.4a56900000000p-14,
};
/// log(erfc(x)) in x - 2.5, 1 <= x <= 4.0
inline constexpr double erf_large_f32[] = {
    -0x1.f3a2dc0000000p+2, -0x1.5692520000000p+2, -0x1.e3460a0000000p-1, -0x1.63d00c0000000p-7,
    0x1.1bcf880000000p-9, -0x1.b887c80000000p-12, 0x1.442efc0000000p-14, -0x1.bec71a0000000p-17,
    0x1.b778300000000p-20,
};
/// (sin(r) - r) / r^3 in r^2, |r| <= pi / 4
inline constexpr double sin_f32[] = {
    -0x1.5555560000000p-3, 0x1.11110e0000000p-7, -0x1.a013880000000p-13, 0x1.6db3880000000p-19,
};
/// (cos(r) - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi / 4
inline constexpr double cos_f32[] = {
    0x1.5555540000000p-5, -0x1.6c12be0000000p-10, 0x1.9bcdc60000000p-16,
};
/// (e^r - 1 - r) / r^2, |r| <= ln(2) / 2
inline constexpr double exp_f64[] = {
    0x1.0000000000000p-1, 0x1.5555555555557p-3, 0x1.5555555555556p-5, 0x1.11111111100bep-7,
    0x1.6c16c16c162c3p-10, 0x1.a01a01abf85abp-13, 0x1.a01a01a6e1e2ap-16, 0x1.71de01fdbf9cap-19,
    0x1.27e4db46cddd1p-22, 0x1.af4e554377204p-26, 0x1.1f7340dbc337ep-29,
};
/// (log(1 + f) / s - 2) / s^2 in s^2, s = f / (2 + f), 1 + f in [sqrt(1/2), sqrt(2)]
inline constexpr double log_f64[] = {
    0x1.5555555555555p-1, 0x1.9999999999a39p-2, 0x1.2492492476a1ap-2, 0x1.c71c7201a55d7p-3,
    0x1.745cf8e4bba1bp-3, 0x1.3b1c3c1c81c8fp-3, 0x1.0fbde0f4ad17bp-3, 0x1.0c0aff044a970p-3,
};
/// erf(x) / x - 1 in x^2, |x| <= 1
inline constexpr double erf_small_f64[] = {
    0x1.06eba8214db68p-3, -0x1.812746b0379c1p-2, 0x1.ce2f21a040f66p-4, -0x1.b82ce31203772p-6,
    0x1.565bccfa44156p-8, -0x1.c02db0665e53dp-11, 0x1.f9a2be4f731a1p-14, -0x1.f4ca838adb73bp-17,
    0x1.b981d78881a5dp-20, -0x1.5c131500d3f88p-23, 0x1.d76af6ca49787p-27, -0x1.ac9585a44fe29p-31,
};
/// log(erfc(x)) in x - 3.5, 1 <= x <= 6.0
inline constexpr double erf_large_f64[] = {
    -0x1.c3991652a25b0p+3, -0x1.d107c691607bdp+2, -0x1.eefa41a2da199p-1, -0x1.5677ff29cf370p-8,
    0x1.ca1053db1191ep-11, -0x1.34e7e407828e4p-13, 0x1.9922ad43c545dp-16, -0x1.0506155fbb301p-18,
    0x1.3a6638e9057b0p-21, -0x1.5a92e6e36567bp-24, 0x1.478163725289bp-27, -0x1.aa02dcabb893fp-31,
    -0x1.b4401793905e2p-36, 0x1.0dabac493a7c1p-35, -0x1.430ccb3a0f662p-37, 0x1.2109eb5c36688p-39,
    -0x1.bb377d00afebdp-42, 0x1.2f3645d5f7337p-44, -0x1.41db44cd59739p-47, 0x1.2aabf0406d685p-51,
    -0x1.b5b281e0cd13cp-56, 0x1.7e305472fe61bp-56, 0x1.2574e9996097bp-57, -0x1.77f7129b9e3bbp-58,
    0x1.75649084e1011p-61,
};
/// (sin(r) - r) / r^3 in r^2, |r| <= pi / 4
inline constexpr double sin_f64[] = {
    -0x1.5555555555555p-3, 0x1.1111111110b6cp-7, -0x1.a01a019e73325p-13, 0x1.71de3781495ffp-19,
    -0x1.ae5ff4f957b14p-26, 0x1.5e0333e3ccba1p-33,
};
/// (cos(r) - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi / 4
inline constexpr double cos_f64[] = {
    0x1.5555555555555p-5, -0x1.6c16c16c16944p-10, 0x1.a01a019f4671dp-16, -0x1.27e4fa0d3726cp-22,
    0x1.1eeb5de1e2b95p-29, -0x1.9075bb669682cp-37,
};
/// (log(1 + f) / s - 2 - 2 s^2 / 3) / s^4 in s^2: for pow, after two terms in double-double
inline constexpr double log_tail_f64[] = {
    0x1.999999999999ap-2, 0x1.2492492492522p-2, 0x1.c71c71c6ea5acp-3, 0x1.745d177ad436ap-3,
    0x1.3b1395b82701ep-3, 0x1.1118cd67251c5p-3, 0x1.df7ba1f4809c3p-4, 0x1.e03a7acf07f85p-4,
};
/// pi / 2 as a sum
inline constexpr double half_pi[] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110};
/// 2 / 3 as a sum
inline constexpr double two_thirds[] = {0x1.5555555555555p-1, 0x1.5555555555555p-55};
/// log(2) as a head of 15 bits and a tail
inline constexpr double ln2_split_f32[] = {0x1.62e4000000000p-1, 0x1.7f7d1c0000000p-20};
/// log(2) as a head of 41 bits and a tail
inline constexpr double ln2_split_f64[] = {0x1.62e42fefa3000p-1, 0x1.3de6af278ece6p-42};
/// The bits of 2/pi behind the point, 64 in a word, most significant first. The exponents of f64 need 1,216.
inline constexpr std::uint64_t two_over_pi[] = {
    0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
    0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484,
    0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d, 0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab, 0xf0cfbc209af4361d,
    0xa9e391615ee61b08,
};

}  // namespace kiln::codegen::tables
