// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/optim.h - optimisers, schedules, clipping, averages.
 *
 *     wk_optim *opt = wk_adamw_new(params, .lr = 1e-3, .decay = 0.01);
 *     wk_optim_group(opt, "bias", .decay = WK_NONE);
 *     wk_schedule plan = { .kind = WK_LR_COSINE, .warmup = 100, .steps = 5000 };
 *     for (int64_t step = 0; step < plan.steps && wk_ok(); step++) {
 *         ...
 *         wk_backward(loss);
 *         wk_clip_grad_norm(params, 1);
 *         wk_set_lr(opt, 1e-3 * wk_schedule_at(&plan, step));
 *         wk_step(opt);
 *     }
 *
 * Gradients add up until wk_step(), which forgets them: several wk_backward() before it
 * are one larger batch.  Parameters that are not f32 or f64 are kept a second time, in
 * f32, so that small steps are not lost; layers then compute in the parameters' dtype. */
#ifndef WICK_OPTIM_H
#define WICK_OPTIM_H

#include <wick/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_optim wk_optim;

/* A number that is 0, where 0 stands for the default. */
#define WK_NONE (-0x1p-1000)

/* Zero is the default, which is PyTorch's unless said otherwise. */
typedef struct {
    wk_store *store;
    double    lr;                /* 1e-3; rmsprop, adagrad and adafactor 1e-2, adadelta 1, lion
                                    1e-4 */
    double    decay;             /* of weights: apart from the gradient in adamw, lion, adafactor
                                    and muon (0.1 there), else added to it */
    double    momentum;          /* of sgd and rmsprop; muon 0.95 */
    double    dampening;         /* of sgd */
    bool      nesterov;          /* of sgd */
    double    beta1, beta2, eps; /* 0.9, 0.999, 1e-8; lion 0.9, 0.99 */
    double    alpha;             /* rmsprop 0.99; adadelta's rho 0.9 */
    bool      amsgrad;           /* adam, adamw */
    bool      centered;          /* rmsprop */
    double    lr_decay;          /* adagrad */
    double    momentum_decay;    /* nadam: 4e-3 */
    double    beta2_decay;       /* adafactor: the second moment takes step^-0.8 of the new */
    double    eps2, threshold;   /* adafactor: 1e-3, least scale of a parameter; 1, greatest
                                    root mean square of a step */
    bool      match_rms;         /* muon: steps as large as those of adamw */
    int       end_;              /* set by the macro, so that partial lists do not warn */
} wk_optim_args;

WK_API wk_optim *wk_sgd_new_with(const wk_optim_args *args);
WK_API wk_optim *wk_adam_new_with(const wk_optim_args *args);
WK_API wk_optim *wk_adamw_new_with(const wk_optim_args *args); /* Loshchilov and Hutter, 2019 */
WK_API wk_optim *wk_adamax_new_with(const wk_optim_args *args);
WK_API wk_optim *wk_nadam_new_with(const wk_optim_args *args);
WK_API wk_optim *wk_radam_new_with(const wk_optim_args *args);
WK_API wk_optim *wk_rmsprop_new_with(const wk_optim_args *args);
WK_API wk_optim *wk_adagrad_new_with(const wk_optim_args *args);
WK_API wk_optim *wk_adadelta_new_with(const wk_optim_args *args);
WK_API wk_optim *wk_lion_new_with(const wk_optim_args *args);      /* Chen et al., 2023 */
WK_API wk_optim *wk_adafactor_new_with(const wk_optim_args *args); /* Shazeer and Stern, 2018 */

/* Steps in which all directions of a matrix count alike: Jordan et al., "Muon: an optimizer
 * for hidden layers in neural networks", 2024; with Nesterov's momentum.  What is no matrix,
 * and what a group says, is updated as by adamw. */
WK_API wk_optim *wk_muon_new_with(const wk_optim_args *args);
#define wk_sgd_new(...)      wk_sgd_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_adam_new(...)     wk_adam_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_adamw_new(...)    wk_adamw_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_adamax_new(...)   wk_adamax_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_nadam_new(...)    wk_nadam_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_radam_new(...)    wk_radam_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_rmsprop_new(...)  wk_rmsprop_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_adagrad_new(...)  wk_adagrad_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_adadelta_new(...) wk_adadelta_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_lion_new(...)     wk_lion_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })

#define wk_adafactor_new(...) wk_adafactor_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_muon_new(...)      wk_muon_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })

WK_API void wk_optim_free(wk_optim *o);
WK_API void wk_set_lr(wk_optim *o, double lr);
WK_API bool wk_step(wk_optim *o); /* update the parameters, forget their gradients */

/* For parameters with this text in their names: the rate times lr (0: 1), and their own
 * decay (0: the optimiser's; WK_NONE: none).  The last group that fits counts. */
typedef struct {
    double lr, decay;
    bool   adamw; /* of muon: embeddings and the last layer should be */
    int    end_;
} wk_group_args;

WK_API void wk_optim_group_with(wk_optim *o, const char *part, const wk_group_args *args);
#define wk_optim_group(o, part, ...)                                                               \
    wk_optim_group_with(o, part, &(wk_group_args){ __VA_ARGS__, .end_ = 0 })

/* All that the next steps depend on but the parameters and random numbers, as a safetensors file.
 * A run that goes on from it makes the same steps, bit for bit, as one that was not stopped. */
WK_API bool wk_optim_save(const wk_optim *o, const char *path);
WK_API bool wk_optim_load(wk_optim *o, const char *path);

/* ---- Gradients ---------------------------------------------------------- */

/* Scale all gradients so that their joint 2-norm is at most limit; returns what it was. */
WK_API double wk_clip_grad_norm(wk_store *s, double limit);
WK_API void   wk_clip_grad_value(wk_store *s, double limit); /* each to -limit .. limit */

/* ---- Schedules: what the rate is multiplied by -------------------------- */

typedef struct {
    enum {
        WK_LR_CONSTANT,
        WK_LR_LINEAR,      /* down to floor */
        WK_LR_COSINE,      /* down to floor: Loshchilov and Hutter, SGDR, 2017 */
        WK_LR_STEPS,       /* times gamma at every `every` steps */
        WK_LR_EXPONENTIAL, /* times gamma at each step */
        WK_LR_ONE_CYCLE, /* up from 1/25 for a share of rise (0.3), down to 1/250,000, as cosines */
        WK_LR_WSD        /* constant, then linear to floor for the last share of fall (0.1) */
    } kind;
    int64_t warmup; /* steps that rise linearly from 0, before all that */
    int64_t steps;  /* with warm-up */
    double  floor;  /* of the factor */
    double  gamma;  /* default 0.1 */
    int64_t every;
    double  rise, fall;
} wk_schedule;

WK_API double wk_schedule_at(const wk_schedule *s, int64_t step); /* step: 0, 1, .. */

/* ---- Averages ----------------------------------------------------------- */

/* An exponential moving average of all parameters of a store. */
typedef struct wk_ema wk_ema;

WK_API wk_ema *wk_ema_new(wk_store *s, double decay);
WK_API void    wk_ema_free(wk_ema *e);
WK_API bool    wk_ema_update(wk_ema *e); /* average = decay average + (1 - decay) parameter */
WK_API bool    wk_ema_swap(wk_ema *e);   /* parameters for averages, and back */

#ifdef __cplusplus
}
#endif
#endif
