# durable_work: the extension (PGXS). Core library, unit tests and tools: CMakeLists.txt.
#
#   make                 build durable_work.so, durable_work--<version>.sql and the update scripts
#   make install         into the server that PG_CONFIG names
#   make installcheck    pg_regress, isolation and TAP tests against a running server
#                        that preloads durable_work (./scripts/test sets one up)
#   make help            these lines
#   make clean
#
# Variables
#   PG_CONFIG=path       server to build for (default: pg_config; PostgreSQL 15 to 18)
#   WERROR=              warnings do not stop the build (default 1: they do)
#   DW_TEST_POINTS=1     with pause and fail points for tests; never for production
#   DW_SANITIZE=address  with AddressSanitizer and UndefinedBehaviorSanitizer; the server must load their libraries first
#   DW_COVERAGE=1        counts which lines run (gcov)
#
# Out of tree:  mkdir build && cd build && make -f /path/to/durable_work/Makefile
#
# One place for each fact: version in durable_work.control, C++ flags in
# compile_flags.txt, sources = src/shim.c and every .cpp below src.

PG_CONFIG ?= pg_config
WERROR ?= 1
DW_TEST_POINTS ?=
DW_SANITIZE ?=
DW_COVERAGE ?=

# Directory of this file, "." when make runs in it.
top := $(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST))))
version := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(top)/durable_work.control)

ifneq ($(MAKECMDGOALS),help)
server_major := $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
ifeq ($(server_major),)
$(error $(PG_CONFIG) does not answer; install the server's development package or set PG_CONFIG)
endif
ifeq ($(filter $(server_major),15 16 17 18),)
$(error durable_work builds for PostgreSQL 15 to 18, but $(PG_CONFIG) is of $(server_major))
endif
endif

# A server that was itself built inside its source tree gives extensions no VPATH of their own.
ifneq ($(top),.)
VPATH := $(top)
endif

# --- what to build --------------------------------------------------------------------------------

sources := src/shim.c $(patsubst $(top)/%,%,$(sort $(shell find $(top)/src -name '*.cpp')))
script_parts := $(sort $(wildcard $(top)/sql/[0-9]*.sql))
updates := $(patsubst $(top)/sql/update/%,durable_work--%,$(wildcard $(top)/sql/update/*--*.sql))

MODULE_big = durable_work
EXTENSION = durable_work
OBJS = $(addsuffix .o,$(basename $(sources)))
DATA_built = durable_work--$(version).sql $(updates)
PGFILEDESC = "durable_work - durable job queue"
EXTRA_CLEAN = $(OBJS:.o=.d) tmp_check tmp_check_iso output_iso results

# --- how to build ---------------------------------------------------------------------------------

cxx_flags := $(patsubst -I%,-I$(top)/%,$(shell cat $(top)/compile_flags.txt))
extra_flags := $(if $(DW_SANITIZE),-fsanitize=address -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer) \
	$(if $(DW_COVERAGE),--coverage -fprofile-update=atomic -O1)
common_flags := -Wall -Wextra -MMD -MP $(if $(WERROR),-Werror) $(if $(DW_TEST_POINTS),-DDW_TEST_POINTS)

# Server headers as system headers: their macros would warn under our flags.
PG_CPPFLAGS = -I$(top)/include -I$(top)/src -isystem $(shell $(PG_CONFIG) --includedir-server) \
	-DDW_VERSION='"$(version)"'
PG_CFLAGS = $(common_flags) $(extra_flags)
PG_CXXFLAGS = $(cxx_flags) $(common_flags) -O2 $(extra_flags)
SHLIB_LINK = $(extra_flags) -Wl,--version-script=$(top)/exports.map -Wl,--no-undefined-version

# Inlining this library into JIT code gains nothing, and PGXS would compile the
# bitcode without our flags.
override with_llvm = no

# --- tests of `make installcheck` -----------------------------------------------------------------

# test/expected is a link to expected; from 16 on its parent has its own option.
expected := $(if $(filter-out 15,$(server_major)),--expecteddir=$(top)/test)
REGRESS = --schedule=$(top)/test/schedule
REGRESS_OPTS = --inputdir=$(top)/test $(expected)
ISOLATION = --schedule=$(top)/test/isolation_schedule
ISOLATION_OPTS = --inputdir=$(top)/test $(expected)
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

all:

.PHONY: help
help:
	@sed -n 's/^# \{0,1\}//; 1,/^$$/p' $(top)/Makefile

ifneq ($(MAKECMDGOALS),help)
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS links with the C compiler; C++ needs its own run-time library.
override COMPILER = $(CXX) $(CXXFLAGS)

# Any change of flags rebuilds everything.
flags_now := $(CXX) $(CXXFLAGS) $(CPPFLAGS) $(server_major)
$(shell mkdir -p $(sort $(dir $(OBJS))); \
	printf '%s' '$(subst ','\'',$(flags_now))' | cmp -s - build-flags || \
	printf '%s' '$(subst ','\'',$(flags_now))' > build-flags)
EXTRA_CLEAN += build-flags
$(OBJS): build-flags

durable_work--$(version).sql: $(script_parts) $(top)/durable_work.control
	cat $(script_parts) > $@

$(updates): durable_work--%.sql: $(top)/sql/update/%.sql $(top)/sql/update/join.awk $(script_parts) $(top)/durable_work.control
	awk -v directory=$(top)/sql -v version=$(version) -f $(top)/sql/update/join.awk $< > $@ || { rm -f $@; false; }

-include $(OBJS:.o=.d)
endif
