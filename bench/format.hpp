// fmt without a library to link. Included instead of <fmt/format.h> everywhere in the benchmark.
#pragma once

#ifndef FMT_HEADER_ONLY
#define FMT_HEADER_ONLY 1
#endif
#include <fmt/format.h>
