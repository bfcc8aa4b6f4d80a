/* workload.h -- what can be measured. */
#pragma once

#include <stdbool.h>

struct options {
        bool quick;   /* just enough to see that it works */
        bool compare; /* also against what people use */
};

struct workload {
        char letter;
        const char *what;
        void (*run)(const struct options *o);
};

extern const struct workload workload_latency;
extern const struct workload workload_stream;
extern const struct workload workload_publish;
extern const struct workload workload_fanout;
extern const struct workload workload_open;
extern const struct workload workload_scale;
extern const struct workload workload_clients;
extern const struct workload workload_allocation;
